"""Who obeys: each process that follows the flags confirms what it serves, and how long that took."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from opsbook.core.postgres import connect
from opsbook.core.settings import Settings
from opsbook.flags import Flags, PostgresSource
from opsbook.flags.readers.confirming import Confirmation, Confirming
from opsbook.flags.sources.http import HttpSource
from tests.command_line import Typed, opsbook
from tests.conftest import ADMIN_TOKEN
from tests.flags.helpers import create, follows, until
from tests.working import run_tasks

FLAG = "obeyed"
WITHIN_SECONDS = 10
NOT_CONFIRMED = "flag_revision_not_confirmed"

Call = Callable[..., Typed]


@pytest.fixture(scope="module", autouse=True)
def _flag(database: psycopg.Connection) -> None:
    create(database, FLAG)


@pytest.fixture
def call(ops_url: str) -> Call:
    return lambda *arguments: opsbook("flags", *arguments, OPSBOOK_DATABASE_URL=ops_url)


@pytest.fixture(params=["postgres", "http"])
def source(request: pytest.FixtureRequest, ops_url: str) -> PostgresSource | HttpSource:
    if request.param == "postgres":
        return PostgresSource(ops_url)
    return HttpSource(request.getfixturevalue("server"), ADMIN_TOKEN)


def test_a_kit_confirms_what_it_serves_and_how_long_that_took(
    source: PostgresSource | HttpSource, database: psycopg.Connection
) -> None:
    with following(source, database) as its_id:
        (pid, lag) = row(database, its_id, "pid, lag_ms")
        assert pid == os.getpid()
        assert lag is None, "what it began with was changed long ago"
        revision = changed(database)
        until(lambda: row(database, its_id, "revision") == (revision,), WITHIN_SECONDS)
        (lag,) = row(database, its_id, "lag_ms")
        assert 0 <= lag < 1000 * WITHIN_SECONDS


def test_segments_are_confirmed_like_flags(ops_url: str, database: psycopg.Connection) -> None:
    with following(PostgresSource(ops_url), database) as its_id:
        database.execute("insert into flag_segments (name) values ('confirmed')")
        until(lambda: row(database, its_id, "revision, lag_ms is null") == (newest(database), False), WITHIN_SECONDS)


def test_a_child_is_a_reader_of_its_own(ops_url: str, database: psycopg.Connection) -> None:
    flags = Flags(PostgresSource(ops_url))
    before = ids(database)
    assert flags.wait_until_ready(WITHIN_SECONDS)
    until(lambda: len(ids(database) - before) == 1, WITHIN_SECONDS)
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(tells)
        flags.start()
        os.read(told, 1)
        flags.close()
        os._exit(0)
    os.close(told)
    try:
        until(lambda: len(ids(database) - before) == 2, WITHIN_SECONDS)
        assert database.execute("select host from flag_readers where pid = %s", [child]).fetchone()
    finally:
        os.close(tells)
        os.waitpid(child, 0)
        flags.close()


@pytest.mark.parametrize(
    ("started_as", "name"),
    [("/bin/gunicorn", "gunicorn"), ("/lib/uvicorn/__main__.py", "uvicorn"), ("-c", "python"), ("", "python")],
)
def test_a_reader_is_named_after_the_program(monkeypatch: pytest.MonkeyPatch, started_as: str, name: str) -> None:
    monkeypatch.setattr("sys.argv", [started_as])
    confirming, sent = Confirming("http"), list[Confirmation]()
    confirming.serve(1)
    until(lambda: bool(confirming.settle(sent.append) and sent), WITHIN_SECONDS)
    assert sent[0].name == name


def test_who_leaves_is_not_waited_for(ops_url: str, database: psycopg.Connection) -> None:
    with following(PostgresSource(ops_url), database) as its_id:
        pass
    assert its_id not in ids(database)


def test_a_locked_table_holds_up_no_reader(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ops_url: str, database: psycopg.Connection
) -> None:
    # So that a reader that did wait for the lock would be far too late, however busy the machine.
    monkeypatch.setattr(connect, "_LOCK_TIMEOUT_MILLISECONDS", 60_000)
    monkeypatch.setattr(connect, "_STATEMENT_TIMEOUT_MILLISECONDS", 60_000)
    flags = Flags(PostgresSource(ops_url))
    assert flags.wait_until_ready(WITHIN_SECONDS)
    with psycopg.connect(ops_url) as other, caplog.at_level(logging.WARNING):
        other.execute("lock table flag_readers in access exclusive mode")
        follows(flags, database, FLAG, within=WITHIN_SECONDS)
        until(lambda: NOT_CONFIRMED in caplog.text, WITHIN_SECONDS)
        follows(flags, database, FLAG, within=WITHIN_SECONDS)
    until(lambda: (newest(database),) in database.execute("select revision from flag_readers").fetchall(), 30)
    flags.close()


def test_a_database_without_the_table_is_followed_all_the_same(
    new_ops_database: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    """As one that an older version of Opsbook serves."""
    url = new_ops_database()
    with psycopg.connect(url, autocommit=True) as database, caplog.at_level(logging.WARNING):
        database.execute("drop table flag_readers")
        create(database, FLAG)
        flags = Flags(PostgresSource(url))
        until(lambda: flags.enabled(FLAG), WITHIN_SECONDS)
        until(lambda: NOT_CONFIRMED in caplog.text, WITHIN_SECONDS)
        follows(flags, database, FLAG, within=WITHIN_SECONDS)
        flags.close()


def test_the_answer_counts_who_was_seen_lately(api: httpx.Client, database: psycopg.Connection) -> None:
    ready, late, gone = (confirmed(api, revision) for revision in (newest(database), 0, 0))
    changed(database)
    database.execute("update flag_readers set seen_at = now() - interval '31 seconds' where id = %s", [gone])
    wanted = newest(database) - 1
    answer = readers(api, revision=wanted)
    assert answer["revision"] == wanted
    obeys = {each["id"]: each["obeys"] for each in answer["readers"]}
    assert (obeys[ready], obeys[late]) == (True, False)
    assert gone not in obeys
    assert readers(api)["revision"] != wanted, "left out, it is the newest"


def test_a_revision_that_does_not_exist_yet_is_obeyed_by_nobody(
    api: httpx.Client, database: psycopg.Connection
) -> None:
    """A reader of a database that has since been restored serves such a one."""
    ahead = confirmed(api, newest(database) + 1000)
    assert not next(each for each in readers(api)["readers"] if each["id"] == ahead)["obeys"]


def test_a_token_cannot_speak_for_a_reader_of_the_database(
    ops_url: str, api: httpx.Client, database: psycopg.Connection
) -> None:
    with following(PostgresSource(ops_url), database) as its_id:
        confirmed(api, 0, its_id)
        assert row(database, its_id, "kind, revision") == ("postgres", newest(database))


def test_no_more_readers_are_taken_than_ten_thousand(api: httpx.Client, database: psycopg.Connection) -> None:
    database.execute("""
        insert into flag_readers (id, host, pid, name, kind, revision, seen_at)
        select gen_random_uuid(), 'h', 1, 'many', 'http', 0, now() - interval '1 day' from generate_series(1, 10000)
    """)
    one_more = confirmed(api, 1)
    assert one_more not in ids(database)
    database.execute("delete from flag_readers where name = 'many'")


def test_confirming_needs_a_token_and_sense(anonymous: httpx.Client, api: httpx.Client) -> None:
    good = body(1)
    assert anonymous.post("/api/flags/confirmations", json=good).status_code == 401
    for wrong in (
        {"id": "x"},
        {"pid": 0},
        {"pid": 2**40},
        {"host": "a\x00b"},
        {"name": "\x1b[2J"},
        {"name": ""},
        {"revision": -1},
        {"revision": False},
        {"revision": "1"},
        {"served_ms": -1},
        {"served_ms": False},
    ):
        assert api.post("/api/flags/confirmations", json=good | wrong).status_code == 422


def test_the_shell_lists_them_and_waits_for_those_behind(
    ops_url: str, call: Call, api: httpx.Client, database: psycopg.Connection
) -> None:
    database.execute("delete from flag_readers where kind = 'http'")
    with following(PostgresSource(ops_url), database):
        changed(database)
        obeyed = call("readers", "--wait", "10s", "--json")
        assert obeyed.code == 0, obeyed.out
        assert obeyed.json["revision"] == newest(database)
        assert obeyed.json["obeying"] == len(obeyed.json["readers"]) > 0
        assert obeyed.json["slowest_ms"] > 0
        confirmed(api, 0)
        behind = call("readers", "--wait", "0s")
        assert behind.code == 1
        assert f"obeyed by {obeyed.json['obeying']} of {obeyed.json['obeying'] + 1} workers" in behind.out
        assert call("readers").code == 0, "without --wait it is a list"


def test_a_kill_says_who_obeys(ops_url: str, call: Call, database: psycopg.Connection) -> None:
    database.execute("delete from flag_readers where kind = 'http'")
    create(database, "to-kill")
    with following(PostgresSource(ops_url), database):
        killed = call("kill", "to-kill", "--yes", "--reason", "test")
    assert killed.code == 0
    assert "obeyed by" in killed.out
    assert call("kill", "to-kill", "--yes", "--json").json["kill_switch"] is True


def test_a_kill_is_done_even_where_nobody_can_say_who_obeys(new_ops_database: Callable[[], str]) -> None:
    url = new_ops_database()
    with psycopg.connect(url, autocommit=True) as database:
        create(database, "to-kill")
        database.execute("drop table flag_readers")
        killed = opsbook("flags", "kill", "to-kill", "--yes", OPSBOOK_DATABASE_URL=url)
        assert (killed.code, "it is done" in killed.err) == (0, True)
        assert database.execute("select kill_switch from feature_flags").fetchone() == (True,)


def test_the_worker_forgets_who_has_long_been_gone(
    settings: Settings, api: httpx.Client, database: psycopg.Connection
) -> None:
    old, lately = (confirmed(api, 1) for _ in range(2))
    database.execute("update flag_readers set seen_at = now() - interval '2 hours' where id = %s", [old])
    run_tasks(settings, "tidy_readers")
    assert old not in ids(database)
    assert lately in ids(database)


@contextmanager
def following(source: PostgresSource | HttpSource, database: psycopg.Connection) -> Iterator[str]:
    """A kit on the source, once it has confirmed; gives its id as a reader."""
    its_id = str(source._confirming.id)
    flags = Flags(source)
    flags.start()
    try:
        until(lambda: its_id in ids(database), WITHIN_SECONDS)
        yield its_id
    finally:
        flags.close()


def confirmed(api: httpx.Client, revision: int, reader: str | None = None) -> str:
    given = body(revision, reader)
    assert api.post("/api/flags/confirmations", json=given).status_code == 204
    return given["id"]


def body(revision: int, reader: str | None = None) -> dict[str, Any]:
    return {"id": reader or str(uuid.uuid4()), "host": "h", "pid": 1, "name": "n", "revision": revision}


def readers(api: httpx.Client, **asked: int) -> dict[str, Any]:
    answer = api.get("/api/admin/flag-readers", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(database: psycopg.Connection) -> set[str]:
    return {str(found) for (found,) in database.execute("select id from flag_readers")}


def row(database: psycopg.Connection, reader: str, columns: str) -> tuple[Any, ...]:
    found = database.execute(f"select {columns} from flag_readers where id = %s".encode(), [reader]).fetchone()
    assert found is not None
    return found


def changed(database: psycopg.Connection) -> int:
    """Change a flag; gives the revision."""
    database.execute("update feature_flags set enabled = not enabled where name = %s", [FLAG])
    return newest(database)


def newest(database: psycopg.Connection) -> int:
    (revision,) = database.execute("select newest_flag_revision()").fetchone() or (0,)
    return revision
