"""A process tells the ops database what its pool does; one that is killed is told as gone, one that stops leaves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from opsbook.core.settings import Settings
from opsbook.database import metered
from opsbook.database.pool.report import PoolReporter
from tests.command_line import opsbook
from tests.working import run_tasks


@pytest.fixture
def engine(service_url: str) -> Iterator[Engine]:
    url = make_url(service_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, pool_size=2, max_overflow=1, connect_args={"application_name": "shop"})
    yield engine
    engine.dispose()


@pytest.fixture
def reporter(engine: Engine, ops_url: str, database: psycopg.Connection) -> PoolReporter:
    database.execute("delete from pool_processes; delete from pool_samples")
    return PoolReporter(metered(engine), ops_url)


def use(engine: Engine, times: int) -> None:
    for _ in range(times):
        with engine.connect():
            pass


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def samples(database: psycopg.Connection) -> list[tuple[int, int]]:
    return database.execute("select arrivals, most_checked_out from pool_samples order by at").fetchall()


def test_a_report_says_how_the_pool_stands_and_what_it_did(
    reporter: PoolReporter, engine: Engine, database: psycopg.Connection, api: httpx.Client
) -> None:
    use(engine, 4)
    with engine.connect():
        reporter.report()
    use(engine, 2)
    reporter.report()
    reporter.report()
    assert samples(database) == [(5, 1), (2, 1)], "of a period without a connection there is no sample"
    answer = api.get("/api/admin/pool")
    assert answer.status_code == 200, answer.text
    (process,) = answer.json()["processes"]
    assert (process["pid"], process["gone"], process["pool_size"], process["capacity"]) == (os.getpid(), False, 2, 3)
    assert (process["arrivals"], process["timeouts"], process["checked_out"]) == (7, 0, 0)
    assert process["database"].startswith("127.0.0.1:")
    assert 0 < process["waits"]["p50"] <= process["waits"]["p99"]
    assert "test_report.py" in process["longest_hold"]["stack"][0]


def test_the_row_tells_who_holds_a_connection_now(
    reporter: PoolReporter, engine: Engine, database: psycopg.Connection
) -> None:
    with engine.connect():
        reporter.report()
    (held,) = database.execute("select holders -> 0 ->> 'stack' from pool_processes").fetchone() or ("",)
    assert "test_the_row_tells_who_holds" in held


def test_a_process_that_stops_takes_its_row_along_and_leaves_its_samples(
    reporter: PoolReporter, engine: Engine, database: psycopg.Connection
) -> None:
    use(engine, 1)
    reporter.start()
    reporter.start()
    until(lambda: count(database) == 1)
    use(engine, 3)
    reporter.stop()
    until(lambda: count(database) == 0)
    assert sum(arrivals for arrivals, _ in samples(database)) == 4


def test_a_process_that_vanished_is_gone_and_forgotten_after_an_hour(
    reporter: PoolReporter, database: psycopg.Connection, api: httpx.Client, settings: Settings
) -> None:
    reporter.report()
    database.execute("update pool_processes set reported_at = now() - interval '1 minute'")
    assert [each["gone"] for each in api.get("/api/admin/pool").json()["processes"]] == [True]
    run_tasks(settings, "forget_vanished_pools")
    assert count(database) == 1
    database.execute("update pool_processes set reported_at = now() - interval '2 hours'")
    run_tasks(settings, "forget_vanished_pools")
    assert count(database) == 0


def test_what_could_not_be_reported_is_in_the_next_report(
    reporter: PoolReporter, engine: Engine, database: psycopg.Connection
) -> None:
    database.execute("alter table pool_samples rename to pool_samples_away")
    use(engine, 3)
    reporter.report()
    database.execute("alter table pool_samples_away rename to pool_samples")
    use(engine, 1)
    reporter.report()
    assert [arrivals for arrivals, _ in samples(database)] == [4]


def test_an_ops_database_that_is_away_harms_nobody(engine: Engine) -> None:
    reporter = PoolReporter(metered(engine), "postgresql://nobody@127.0.0.1:1/none")
    reporter.start()
    use(engine, 1)
    reporter.stop()


def test_a_forked_child_is_silent_and_leaves_its_parents_row_alone(
    reporter: PoolReporter, database: psycopg.Connection
) -> None:
    reporter.start()
    until(lambda: count(database) == 1)
    child = os.fork()
    if child == 0:
        reporter.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert count(database) == 1
    reporter.stop()


def test_old_days_are_dropped_and_coming_ones_made(settings: Settings, database: psycopg.Connection) -> None:
    database.execute("""
        create table pool_samples_2020_01_01 partition of pool_samples
        for values from ('2020-01-01T00:00Z') to ('2020-01-02T00:00Z')
    """)
    tomorrow = "select 'pool_samples' || to_char(now() at time zone 'utc' + interval '1 day', '_YYYY_MM_DD')"
    (partition,) = database.execute(tomorrow).fetchone() or ("",)
    database.execute(f"drop table {partition}".encode())
    database.execute("""
        insert into pool_samples
            (at, process, database, seconds, most_checked_out, most_wanted, arrivals, timeouts, failures,
            held_seconds, waits, holds)
        values (now() + interval '1 day', gen_random_uuid(), 'early', 5, 1, 0, 1, 0, 0, 0.1, '{}', '{}')
    """)
    run_tasks(settings, "tidy_pool_samples")
    assert database.execute("select to_regclass('pool_samples_2020_01_01')").fetchone() == (None,)
    assert database.execute(f"select database from {partition}".encode()).fetchall() == [("early",)]
    database.execute("delete from pool_samples")


def test_the_api_needs_a_token(anonymous: httpx.Client) -> None:
    assert anonymous.get("/api/admin/pool").status_code == 401


def test_prometheus_gets_every_processs_figures(reporter: PoolReporter, engine: Engine, api: httpx.Client) -> None:
    use(engine, 3)
    with engine.connect():
        reporter.report()
    told = api.get("/metrics").text
    (out,) = [line for line in told.splitlines() if line.startswith("opsbook_pool_checked_out{")]
    assert out.endswith(" 1.0")
    assert f'pid="{os.getpid()}"' in out
    assert any(line.endswith(" 4.0") for line in told.splitlines() if line.startswith("opsbook_pool_arrivals_total{"))


def test_the_command_shows_processes_holders_and_the_server(
    reporter: PoolReporter, engine: Engine, ops_url: str, service_url: str
) -> None:
    use(engine, 2)
    with engine.connect():
        reporter.report()
        shown = opsbook("db", "pool", OPSBOOK_DATABASE_URL=ops_url, DATABASE_URL=service_url)
    assert shown.code == 0, shown.err
    assert f" {os.getpid()} on " in shown.out
    assert "longest holders now" in shown.out
    assert "test_the_command_shows_processes" in shown.out
    assert "used, " in shown.out
    assert "shop" in shown.out
    assert "Nothing to change." in shown.out


def test_the_command_exits_1_and_says_what_to_change(
    reporter: PoolReporter, engine: Engine, ops_url: str, service_url: str, database: psycopg.Connection
) -> None:
    with engine.connect():
        reporter.report()
    database.execute("update pool_samples set longest_hold_seconds = 60")
    environment = {"OPSBOOK_DATABASE_URL": ops_url, "DATABASE_URL": service_url}
    shown = opsbook("db", "pool", **environment)
    assert shown.code == 1
    assert "shorten the holder" in shown.out
    as_json = opsbook("db", "pool", "--json", **environment)
    assert as_json.code == 1
    (advice,) = as_json.json["advice"]
    assert (advice["kind"], "60 s" in advice["text"]) == ("shorten", True)
    assert {each["application"] for each in as_json.json["server"]["applications"]} >= {"shop", "opsbook pool"}


def test_more_who_ask_at_once_than_there_are_connections_raise_the_pool(
    reporter: PoolReporter, engine: Engine, ops_url: str, service_url: str
) -> None:
    everybody = threading.Barrier(9)

    def ask() -> None:
        everybody.wait(10)
        with engine.connect() as connection:
            connection.execute(text("select pg_sleep(0.1)"))

    with ThreadPoolExecutor(9) as threads:
        for asked in [threads.submit(ask) for _ in range(9)]:
            asked.result(30)
    reporter.report()
    shown = opsbook("db", "pool", "--json", OPSBOOK_DATABASE_URL=ops_url, DATABASE_URL=service_url)
    (advice,) = shown.json["advice"]
    assert (shown.code, advice["kind"], advice["pool_size"]) == (1, "raise", 9)
    (process,) = shown.json["processes"]
    assert process["most_checked_out"] == 3
    assert process["waits"]["p95"] > 0.05
    saturation = shown.json["saturation"]
    assert len(saturation) == 60
    assert max(moment["checked_out"] for moment in saturation) == 3
    assert max(moment["wanted"] for moment in saturation) == 9


def test_the_command_teaches_where_no_process_reports(reporter: PoolReporter, ops_url: str, service_url: str) -> None:
    shown = opsbook("db", "pool", OPSBOOK_DATABASE_URL=ops_url, DATABASE_URL=service_url)
    assert (shown.code, "opsbook.install(app, pool=engine)" in shown.out) == (0, True)


def test_a_service_that_is_away_takes_only_its_servers_figures_along(
    reporter: PoolReporter, engine: Engine, ops_url: str
) -> None:
    use(engine, 1)
    reporter.report()
    away = "postgresql://nobody@127.0.0.1:1/none"
    shown = opsbook("db", "pool", "--json", OPSBOOK_DATABASE_URL=ops_url, DATABASE_URL=away)
    assert shown.json["server"] is None
    assert len(shown.json["processes"]) == 1


def count(database: psycopg.Connection) -> int:
    return len(database.execute("select from pool_processes").fetchall())
