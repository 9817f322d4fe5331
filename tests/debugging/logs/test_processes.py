"""Several processes: each sends its own lines and obeys the levels, after a fork, a kill, a restart too."""

from __future__ import annotations

from pathlib import Path

import psycopg

from opsbook.debugging.logs.shipper import MOST_LINES
from tests.debugging.logs.processes import speaker
from tests.debugging.logs.writing import arrived, fresh_logger_name, lines_of
from tests.flags.helpers import psql, until


def test_each_sends_its_lines_and_a_killed_one_loses_a_second_at_most(
    ops_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    name = fresh_logger_name()
    with speaker(ops_url, tmp_path, OPSBOOK_RELEASE="r1") as one, speaker(ops_url, tmp_path) as other:
        one.tell("say", name, 300)
        other.tell("say", name, 300)
        lines = arrived(database, name, 600)
        assert {line["process_id"] for line in lines} == {one.process.pid, other.process.pid}
        assert {line["release"] for line in lines} == {"r1", None}
        for process in (one, other):
            numbers = [line["fields"]["number"] for line in lines if line["process_id"] == process.process.pid]
            assert numbers == list(range(300))
        one.tell("say", name, 5)
        arrived(database, name, 605, within=5)
        one.process.kill()
    assert len(lines_of(database, name)) == 605


def test_what_was_logged_last_arrives_when_a_process_ends_as_told(
    ops_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    name = fresh_logger_name()
    with speaker(ops_url, tmp_path) as process:
        process.tell("say", name, 50)
        assert process.process.stdin is not None
        process.process.stdin.close()
        process.process.wait(10)
        assert len(lines_of(database, name)) == 50


def test_a_forked_child_sends_its_own(ops_url: str, database: psycopg.Connection, tmp_path: Path) -> None:
    name = fresh_logger_name()
    with speaker(ops_url, tmp_path) as parent:
        parent.tell("say", name, 1)
        parent.tell("fork", name)
        lines = arrived(database, name, 3)
        said = {line["message"]: (line["writer"], line["fields"].get("process")) for line in lines}
        assert said["from_the_child"][0] != said["from_the_parent"][0] == said["said"][0]
        assert said["from_the_parent"][1] == parent.process.pid != said["from_the_child"][1]


def test_a_level_reaches_every_process_also_one_that_starts_later_and_ends_by_itself(
    ops_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    with speaker(ops_url, tmp_path) as one, speaker(ops_url, tmp_path, LOG_LEVEL="WARNING") as other:
        one.tell("level", "service.a")
        other.tell("level", "service.a")
        one.wait_for("service.a INFO")
        other.wait_for("service.a WARNING")
        psql(ops_url, "insert into log_levels (level) values ('DEBUG')")
        assert max(each.wait_for("service.a DEBUG") for each in (one, other)) <= 5
        with speaker(ops_url, tmp_path) as late:
            late.tell("level", "service.a")
            late.wait_for("service.a DEBUG")
        psql(ops_url, "update log_levels set until = now() + interval '1 second'")
        until(lambda: one.said[-1] == "service.a INFO" and other.said[-1] == "service.a WARNING", 15)
    assert database.execute("select level from log_levels").fetchone() == ("DEBUG",), "nobody took it out"


def test_a_level_of_one_logger_is_that_of_those_below_it(
    ops_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    with speaker(ops_url, tmp_path) as process:
        process.tell("level", "shop.payments.card")
        process.tell("level", "shop.search")
        process.wait_for("shop.search INFO")
        database.execute("insert into log_levels (logger, level) values ('shop.payments', 'DEBUG')")
        process.wait_for("shop.payments.card DEBUG")
        database.execute("update log_levels set level = 'ERROR' where logger = 'shop.payments'")
        process.wait_for("shop.payments.card ERROR")
        database.execute("delete from log_levels where logger = 'shop.payments'")
        until(lambda: process.said[-1] == "shop.payments.card INFO", 15)
        assert "shop.search DEBUG" not in process.said


def test_a_lost_connection_loses_no_line(ops_url: str, database: psycopg.Connection, tmp_path: Path) -> None:
    name = fresh_logger_name()
    with speaker(ops_url, tmp_path) as process:
        for _ in range(3):
            process.tell("say", name, 200)
            database.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name = 'opsbook logs'"
            )
        lines = arrived(database, name, 600)
        assert [line["fields"]["number"] for line in lines] == 3 * list(range(200))
        assert len({line["writer"] for line in lines}) == 1, "it is the same writer as before"


def test_lines_wait_for_tables_that_are_not_there(ops_url: str, database: psycopg.Connection, tmp_path: Path) -> None:
    name = fresh_logger_name()
    connected = "select pid from pg_stat_activity where application_name = 'opsbook logs' and query <> ''"
    with speaker(ops_url, tmp_path) as process:
        process.tell("say", name, 1)
        arrived(database, name)
        connection = database.execute(connected).fetchall()
        database.execute("alter table log_writers rename to log_writers_to_come")
        try:
            process.tell("say", name, 3)
            until(lambda: not set(connection) & set(database.execute(connected).fetchall()), 10)
        finally:
            database.execute("alter table log_writers_to_come rename to log_writers")
        arrived(database, name, 4)


def test_while_the_database_takes_nothing_the_process_goes_on_and_what_finds_no_room_is_counted(
    ops_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    name = fresh_logger_name()
    count = MOST_LINES + 5_000
    with speaker(ops_url, tmp_path) as process:
        process.tell("say", name, 1)
        arrived(database, name)
        with psycopg.connect(ops_url) as holder:
            holder.execute("lock table log_lines in access exclusive mode")
            process.tell("say", name, count)
            process.tell("level", name)
            process.wait_for(f"{name} INFO", within=60)
        until(lambda: sum(counted(database, name)) >= count + 1, within=60)
    lines, dropped = counted(database, name)
    assert lines + dropped == count + 1
    assert dropped > 0


def counted(database: psycopg.Connection, logger: str) -> tuple[int, int]:
    """How many lines of the logger have arrived, and how many its process says found no room."""
    row = database.execute(
        "select count(*) filter (where logger = %s),"
        " coalesce(sum((fields ->> 'count')::int) filter (where message = 'log_lines_dropped'), 0)"
        " from log_lines where writer = (select max(id) from log_writers)",
        [logger],
    ).fetchone()
    assert row is not None
    return row[0], row[1]
