"""What is forgotten once no event is left, and what is kept because somebody decided something about it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from opsbook.core.postgres.connect import connect
from opsbook.debugging.errors.retention import DECIDED_KEPT_DAYS, forget_quiet
from tests.debugging.sending import Sender, key_of, new_event

Database = psycopg.Connection[Any]
KEPT_DAYS = 30
ISSUE = "select i.id from error_issues i join error_groups g on g.issue_id = i.id where i.title like %s"


@pytest.fixture(scope="module")
def sender(anonymous: httpx.Client, database: Database) -> Sender:
    return Sender(anonymous, key_of(database))


def age(database: Database, kind: str, days: int, *, with_events: bool = False) -> int:
    """Have an issue been seen last so long ago, and drop its events as their retention does; gives its number."""
    row = database.execute(ISSUE, [f"{kind}%"]).fetchone()
    assert row is not None
    for table, key in (("error_issues", "id"), ("error_groups", "issue_id")):
        statement = f"update {table} set last_seen = now() - make_interval(days => %s) where {key} = %s"
        database.execute(statement.encode(), [days, row[0]])
    if not with_events:
        database.execute(
            "delete from error_events where group_id in (select id from error_groups where issue_id = %s)", [row[0]]
        )
    return row[0]


def is_there(database: Database, issue: int) -> bool:
    return database.execute("select from error_issues where id = %s", [issue]).fetchone() is not None


def forget(url: str) -> int:
    async def run() -> int:
        async with connect(url, "opsbook worker") as connection:
            return await forget_quiet(connection, KEPT_DAYS)

    return asyncio.run(run())


def test_an_issue_goes_after_its_last_event(sender: Sender, database: Database, ops_url: str) -> None:
    for kind in ("GoesGone", "StaysYoung", "StaysEvents"):
        sender.event(kind, user={"id": kind}, release=f"{kind}@1")
    gone = age(database, "GoesGone", KEPT_DAYS + 1)
    stay = [age(database, "StaysYoung", KEPT_DAYS - 1), age(database, "StaysEvents", 400, with_events=True)]
    assert forget(ops_url) == 1
    assert not is_there(database, gone)
    assert all(is_there(database, issue) for issue in stay)
    left = (
        "select (select count(*) from error_groups) - (select count(distinct group_id) from error_group_people),"
        " (select count(*) from error_groups) - (select count(distinct group_id) from error_group_minutes)"
    )
    assert database.execute(left).fetchone() == (0, 0)
    event = sender.event("GoesGone")
    assert is_there(database, age(database, "GoesGone", 0, with_events=True)), f"{event} made it anew"


DECISIONS = {
    "Resolved": "update error_issues set status = 'resolved' where id = %s",
    "Ignored": "update error_issues set status = 'ignored' where id = %s",
    "Assigned": "update error_issues set assignee = 'ada' where id = %s",
    "Commented": "insert into error_issue_comments (issue_id, actor, text) values (%s, 'ada', 'known')",
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_what_was_decided_outlives_its_events(sender: Sender, database: Database, ops_url: str, decision: str) -> None:
    sender.event(f"{decision}Issue")
    issue = age(database, f"{decision}Issue", KEPT_DAYS + 1)
    database.execute(DECISIONS[decision].encode(), [issue])
    age(database, f"{decision}Issue", DECIDED_KEPT_DAYS - 1)
    forget(ops_url)
    assert is_there(database, issue)
    whom = "select count(*) from error_group_people p join error_groups g on g.id = p.group_id where g.issue_id = %s"
    assert database.execute(whom, [issue]).fetchone() == (0,), "whom it met is forgotten, how many stays"
    assert database.execute("select people from error_issues where id = %s", [issue]).fetchone() == (1,)
    age(database, f"{decision}Issue", DECIDED_KEPT_DAYS + 1)
    forget(ops_url)
    assert not is_there(database, issue)


def test_a_merge_is_remembered(sender: Sender, api: httpx.Client, database: Database, ops_url: str) -> None:
    sender.event("MergedInto")
    sender.event("MergedAway")
    into, away = age(database, "MergedInto", 0), age(database, "MergedAway", 0)
    api.post(f"/api/admin/errors/{into}/merge", json={"issues": [away]}).raise_for_status()
    age(database, "MergedInto", KEPT_DAYS + 1)
    forget(ops_url)
    assert api.get(f"/api/admin/errors/{away}").json()["issue"]["id"] == into


def test_many_are_forgotten_in_small_batches_and_one_record_each(
    sender: Sender, database: Database, ops_url: str
) -> None:
    for first in range(0, 300, 100):
        many = (("event", new_event(f"Many{number}")) for number in range(first, first + 100))
        assert sender.send(*many).status_code == 200
    database.execute("update error_issues set last_seen = now() - interval '31 days' where title like 'Many%%'")
    database.execute("delete from error_events where message like 'Many%%'")
    assert forget(ops_url) == 300
    records = database.execute(
        "select actor, after ->> 'count' from security_audit where target like '%% issues' order by id"
    ).fetchall()
    assert records == [("retention", "200"), ("retention", "100")]


def test_an_old_release_goes_unless_something_names_it(sender: Sender, database: Database, ops_url: str) -> None:
    sender.event("Releases", release="named@1")
    database.execute(
        "insert into error_releases (project_id, release, first_seen)"
        " values (1, 'forgotten@1', now()), (1, 'new@1', now())"
    )
    database.execute("update error_releases set first_seen = now() - interval '400 days' where release <> 'new@1'")
    forget(ops_url)
    found = database.execute(
        "select release from error_releases where release = any (%s)", [["named@1", "forgotten@1", "new@1"]]
    ).fetchall()
    assert {row[0] for row in found} == {"named@1", "new@1"}
