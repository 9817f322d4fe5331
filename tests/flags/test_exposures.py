"""Exposure counts: each evaluation is counted once, by flag and variant, and reaches the ops database."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from opsbook.core.settings import Settings
from opsbook.flags import Flags, PostgresSource
from opsbook.flags.exposures.counting import Counts
from opsbook.flags.model import Flag
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.http import HttpSource
from tests.command_line import opsbook
from tests.conftest import ADMIN_TOKEN
from tests.flags.helpers import create, until
from tests.flags.sources import Scripted
from tests.working import run_tasks


@pytest.fixture(scope="module")
def kit(ops_url: str, database: psycopg.Connection) -> Iterator[Flags]:
    create(database, "counted", variants=Jsonb([{"name": "red"}, {"name": "blue"}]))
    create(database, "plain")
    create(database, "killed", kill_switch=True)
    flags = Flags(PostgresSource(ops_url))
    assert flags.wait_until_ready(5)
    yield flags
    flags.close()


def test_each_evaluation_is_counted_by_variant(kit: Flags, database: psycopg.Connection) -> None:
    seen = [kit.evaluate("counted", {"targetingKey": f"u{number}"}).variant for number in range(100)]
    for _ in range(3):
        kit.enabled("plain", "u1")
        kit.enabled("killed", "u1")
        kit.enabled("no-such-flag", "u1")
    kit.report_exposures()
    assert counts(database, "counted") == {"red": seen.count("red"), "blue": seen.count("blue")}
    assert counts(database, "plain") == {"on": 3}
    assert counts(database, "killed") == {"off": 3}
    assert counts(database, "no-such-flag") == {}


def test_reports_add_up_within_an_hour(kit: Flags, database: psycopg.Connection) -> None:
    create(database, "adding")
    until(lambda: kit.enabled("adding"), within=10)
    kit.report_exposures()
    before = counts(database, "adding")["on"]
    for _ in range(2):
        kit.enabled("adding")
        kit.report_exposures()
    assert counts(database, "adding") == {"on": before + 2}


def test_two_processes_never_wait_for_each_other_for_ever(ops_url: str, database: psycopg.Connection) -> None:
    for number in range(20):
        create(database, f"busy-{number}")
    sources = [PostgresSource(ops_url) for _ in range(2)]
    orders = [range(20), range(19, -1, -1)]
    failures: list[Exception] = []

    def report(source: PostgresSource, order: range) -> None:
        try:
            for _ in range(10):
                source.report({(f"busy-{number}", "on"): 1 for number in order})
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=report, args=pair) for pair in zip(sources, orders, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert counts(database, "busy-7") == {"on": 20}


def test_a_child_counts_from_zero(kit: Flags, database: psycopg.Connection) -> None:
    create(database, "forked")
    until(lambda: "forked" in kit.snapshot.flags, within=10)
    for _ in range(5):
        kit.enabled("forked")
    child = os.fork()
    if child == 0:
        kit.enabled("forked")
        kit.report_exposures()
        os._exit(0)
    os.waitpid(child, 0)
    assert counts(database, "forked") == {"on": 1}
    kit.report_exposures()
    assert counts(database, "forked") == {"on": 6}


def test_a_failed_report_is_added_to_the_next() -> None:
    source = Moody()
    flags = Flags(source)
    flags.receive(Snapshot.of(1, [Flag(name="kept", enabled=True)]))
    flags.enabled("kept")
    source.failing = True
    flags.report_exposures()
    flags.enabled("kept")
    source.failing = False
    flags.report_exposures()
    flags.report_exposures()
    assert source.reports == [{("kept", "on"): 2}]


def test_a_clean_end_reports_what_is_left() -> None:
    source = Moody()
    flags = Flags(source)
    flags.receive(Snapshot.of(1, [Flag(name="last", enabled=True)]))
    flags.enabled("last")
    flags.close()
    assert source.reports == [{("last", "on"): 1}]


def test_the_http_source_posts_them(server: str, database: psycopg.Connection) -> None:
    create(database, "posted")
    flags = Flags(HttpSource(server, ADMIN_TOKEN))
    flags.start()
    # The server follows the database in its own time: what the kit hears first may be from before.
    until(lambda: "posted" in flags.snapshot.flags, within=30)
    for _ in range(4):
        flags.enabled("posted")
    flags.close()
    assert counts(database, "posted") == {"on": 4}


def test_the_api_takes_only_what_a_flag_can_be(api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "strict")
    report = [
        {"flag": "strict", "variant": "on", "count": 2},
        {"flag": "strict", "variant": "on", "count": 3},
        {"flag": "strict", "variant": "invented", "count": 3},
        {"flag": "unknown", "variant": "on", "count": 3},
    ]
    assert api.post("/api/flags/exposures", json={"counts": report}).status_code == 204
    assert counts(database, "strict") == {"on": 5}
    assert counts(database, "unknown") == {}
    found = api.get("/api/admin/feature-flags/strict/exposures").json()
    assert [(each["variant"], each["count"], each["share"]) for each in found] == [("on", 5, 1.0)]


def test_no_report_counts_for_more_than_a_thousand_million(api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "boasting")
    report = [{"flag": "boasting", "variant": "on", "count": 10**12}] * 100
    assert api.post("/api/flags/exposures", json={"counts": report}).status_code == 204
    assert counts(database, "boasting") == {"on": 10**9}


def test_a_count_that_is_full_stays_full(api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "full")
    database.execute("""
        insert into flag_exposures
        select date_trunc('hour', now(), 'UTC') - hours * interval '1 hour', 'full', 'on', 9223372036854775807, now()
        from generate_series(0, 1) hours
    """)
    report = {"counts": [{"flag": "full", "variant": "on", "count": 1}]}
    assert api.post("/api/flags/exposures", json=report).status_code == 204
    found = api.get("/api/admin/feature-flags/full/exposures").json()
    assert [(each["count"], each["share"]) for each in found] == [(9 * 10**18, 1.0)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"counts": [{"flag": "strict", "variant": "on", "count": 0}]},
        {"counts": [{"flag": "strict", "variant": "on", "count": 10**30}]},
        {"counts": [{"flag": "strict", "variant": "\x00", "count": 1}]},
        {"counts": [{"flag": "a\x00b", "variant": "on", "count": 1}]},
        {"counts": [{"flag": "strict", "variant": "on", "count": 1}] * 10_001},
    ],
)
def test_the_api_refuses_what_is_no_count(api: httpx.Client, body: object) -> None:
    assert api.post("/api/flags/exposures", json=body).status_code == 422


def test_reporting_needs_a_token(anonymous: httpx.Client) -> None:
    assert anonymous.post("/api/flags/exposures", json={"counts": []}).status_code == 401


def test_show_prints_who_saw_what(ops_url: str, kit: Flags, database: psycopg.Connection) -> None:
    create(database, "shown")
    PostgresSource(ops_url).report({("shown", "on"): 3, ("shown", "off"): 1})
    shown = opsbook("flags", "show", "shown", OPSBOOK_DATABASE_URL=ops_url)
    assert "on 75 % (3)" in shown.out
    assert "off 25 % (1)" in shown.out
    as_json = opsbook("flags", "show", "shown", "--json", OPSBOOK_DATABASE_URL=ops_url).json
    assert [each["count"] for each in as_json["exposures"]] == [3, 1]


def test_old_months_are_dropped_and_coming_ones_made(database: psycopg.Connection) -> None:
    database.execute("""
        create table flag_exposures_2020_01 partition of flag_exposures
        for values from ('2020-01-01T00:00Z') to ('2020-02-01T00:00Z')
    """)
    assert database.execute("select drop_old_exposures(13)").fetchone() == (1,)
    assert database.execute("select make_monthly_partitions('flag_exposures', 2)").fetchone() == (0,)


def test_a_month_that_came_before_its_partition_does_not_stop_the_tidying(
    settings: Settings, database: psycopg.Connection
) -> None:
    """As after a year without a worker: the month's first rows are in the default partition."""
    (partition,) = database.execute("""
        select 'flag_exposures_' || to_char(now() at time zone 'utc' + interval '1 month', 'YYYY_MM')
    """).fetchone() or ("",)
    database.execute(f"drop table {partition}".encode())
    database.execute("""
        insert into flag_exposures
        select moment, 'early', 'on', 7, now() from unnest(array[
            date_trunc('month', now(), 'UTC') + interval '1 month', timestamptz '2020-01-01T00:00Z'
        ]) moment
    """)
    run_tasks(settings, "tidy_exposures")
    assert database.execute(f"select flag, count from {partition}".encode()).fetchall() == [("early", 7)]
    assert counts(database, "early") == {"on": 7}, "what is older than is kept is gone"


class Moody(Scripted):
    """Fails to report when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = False
        self.reports: list[Counts] = []

    def report(self, counts: Counts) -> None:
        if self.failing:
            raise OSError("nobody is there")
        self.reports.append(counts)


def counts(database: psycopg.Connection, flag: str) -> dict[str, int]:
    rows = database.execute("select variant, sum(count)::int from flag_exposures where flag = %s group by 1", [flag])
    return dict(rows.fetchall())
