"""The lever of the level by SQL, API and command alike: same rules, same record, and back by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from opsbook.core.settings import Settings
from tests.command_line import Typed, opsbook
from tests.flags.helpers import psql
from tests.working import run_tasks

LEVEL = "/api/admin/log-level"


@pytest.fixture
def shell(ops_url: str) -> Callable[..., Typed]:
    return lambda *words: opsbook("logs", "level", *words, OPSBOOK_DATABASE_URL=ops_url)


def audited(database: psycopg.Connection, logger: str) -> list[tuple[str, str, str | None]]:
    rows = database.execute(
        "select action, actor_kind, reason from security_audit"
        " where target_kind = 'logger' and target = %s order by id",
        [logger],
    ).fetchall()
    return [(action, kind, reason) for action, kind, reason in rows]


def test_every_hand_leaves_the_same_record(
    api: httpx.Client, shell: Callable[..., Typed], ops_url: str, database: psycopg.Connection
) -> None:
    assert shell("DEBUG", "--logger", "a", "--reason", "slow", "--yes").code == 0
    done = api.put(LEVEL, json={"level": "DEBUG", "logger": "b", "reason": "slow"})
    assert done.status_code == 200
    assert psql(ops_url, "insert into log_levels (logger, level, reason) values ('c', 'DEBUG', 'slow')").returncode == 0
    listed = {row["logger"]: row for row in api.get(LEVEL).json()}
    assert {listed[name]["level"] for name in "abc"} == {"DEBUG"}
    assert {listed[name]["reason"] for name in "abc"} == {"slow"}
    ends = {round(listed[name]["seconds_left"] / 60) for name in "abc"}
    assert ends == {15}
    assert shell("--end", "--logger", "a", "--yes").code == 0
    assert api.delete(LEVEL, params={"logger": "b"}).status_code == 204
    assert psql(ops_url, "delete from log_levels where logger = 'c'").returncode == 0
    for name, kind in (("a", "cli"), ("b", "admin_token"), ("c", "sql")):
        assert [(action, by) for action, by, _ in audited(database, name)] == [
            ("log_level.set", kind),
            ("log_level.end", kind),
        ]
    assert audited(database, "a")[0][2] == "slow"


@pytest.mark.parametrize(
    "values",
    [
        "('x', 'LOUD', default, null)",
        "('two words', 'DEBUG', default, null)",
        "('', 'DEBUG', default, null)",
        "('x', 'DEBUG', now() + interval '8 days', null)",
        "('x', 'DEBUG', now() - interval '1 second', null)",
    ],
)
def test_what_makes_no_sense_is_refused_in_psql(ops_url: str, values: str) -> None:
    refused = psql(ops_url, f"insert into log_levels (logger, level, until, reason) values {values}")
    assert refused.returncode != 0
    assert "check constraint" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [("LOUD", "--yes"), ("DEBUG", "--for", "8d", "--yes"), ("DEBUG", "--for", "soon", "--yes"), ("DEBUG", "--end")],
)
def test_and_by_command(shell: Callable[..., Typed], words: tuple[str, ...]) -> None:
    assert shell(*words).code == 2


def test_a_command_says_what_it_would_do_and_asks(shell: Callable[..., Typed], database: psycopg.Connection) -> None:
    assert "would have every logger log from DEBUG up for 5m" in shell("DEBUG", "--for", "5m", "--dry-run").out
    assert shell("DEBUG").code == 2
    assert audited(database, "root") == []
    assert "Nothing is set" in shell().out


def test_ending_what_is_not_set_is_told(shell: Callable[..., Typed], api: httpx.Client) -> None:
    assert shell("--end", "--logger", "nobody", "--yes").code == 3
    assert api.delete(LEVEL, params={"logger": "nobody"}).status_code == 404


def test_what_is_over_is_out_of_force_at_once_and_noted_by_the_worker(
    settings: Settings, api: httpx.Client, database: psycopg.Connection
) -> None:
    database.execute(
        "insert into log_levels (logger, level, until) values ('over', 'DEBUG', now() + interval '1 hour')"
    )
    # Time cannot be moved; the row can, past its own rule.
    database.execute("alter table log_levels disable trigger all")
    database.execute(
        "update log_levels set set_at = now() - interval '2 hours', until = now() - interval '1 hour'"
        " where logger = 'over'"
    )
    database.execute("alter table log_levels enable trigger all")
    assert "over" not in {row["logger"] for row in api.get(LEVEL).json()}
    run_tasks(settings, "end_levels")
    assert audited(database, "over")[-1] == ("log_level.expire", "system", "its time was over")


def test_days_that_are_kept_no_longer_go(settings: Settings, database: psycopg.Connection) -> None:
    old = datetime.now(UTC) - timedelta(days=settings.logs_kept_days + 1)
    insert = (
        "insert into log_lines (received_on, received_at, writer, number, logged_at, level, logger, message)"
        " values (%s, %s, 1, %s, %s, 'info', 'kept', 'x')"
    )
    database.execute(insert, [old.date(), old, 10**9, old])
    now = datetime.now(UTC)
    database.execute(insert, [now.date(), now, 10**9 + 1, now])
    run_tasks(settings, "tidy_logs")
    left = database.execute("select number from log_lines where logger = 'kept'").fetchall()
    assert left == [(10**9 + 1,)]


def test_search_by_command(ops_url: str, database: psycopg.Connection) -> None:
    database.execute(
        "insert into log_lines (writer, number, logged_at, level, logger, message, fields, user_id) values"
        " (77, 1, now() - interval '2 minutes', 'info', 'find.me', 'could_not_reach bank', '{\"status\": 500}', 'u5'),"
        " (77, 2, now() - interval '1 minute', 'error', 'find.me', 'later', '{}', null)"
    )

    def found(*words: str) -> list[str]:
        typed = opsbook("logs", "search", "--logger", "find", "--json", *words, OPSBOOK_DATABASE_URL=ops_url)
        assert typed.code == 0, typed.err
        return [line.partition('"message":"')[2].partition('"')[0] for line in typed.out.splitlines()]

    assert found() == ["could_not_reach bank", "later"]
    assert found("--text", "ban COULD") == ["could_not_reach bank"]
    assert found("--field", "status=500") == ["could_not_reach bank"]
    assert found("--level", "warning") == ["later"]
    assert found("--user", "u5", "--since", "1h") == ["could_not_reach bank"]
    assert found("--since", "90s") == ["later"]
    assert opsbook("logs", "search", "--field", "status", OPSBOOK_DATABASE_URL=ops_url).code == 2
