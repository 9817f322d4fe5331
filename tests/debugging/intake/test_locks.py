"""Whoever sends events waits for nobody who decides about an issue; what could not be counted meanwhile is later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from tests.debugging.sending import Sender, key_of, new_event
from tests.flags.helpers import until

Database = psycopg.Connection[Any]
LATER_SECONDS = 20
EVENTS = 15
"""Of each of six senders; as many as are all kept within an hour, even of one issue."""


@pytest.fixture(scope="module")
def sender(anonymous: httpx.Client, database: Database) -> Sender:
    return Sender(anonymous, key_of(database))


@contextmanager
def transaction(url: str, *statements: str) -> Iterator[None]:
    """Somebody's psql in which these were typed, and no end of the transaction yet."""
    with psycopg.connect(url, application_name="psql") as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield


def issue_of(database: Database, event_id: str) -> int:
    row = database.execute(
        "select g.issue_id from error_events e join error_groups g on g.id = e.group_id where e.event_id = %s",
        [event_id],
    ).fetchone()
    assert row is not None
    return row[0]


def counts(database: Database, issue: int) -> tuple[int, int, int] | None:
    """Events and people of an issue, and the events of its trend line."""
    return database.execute(
        "select i.events::int, i.people::int, (select sum(m.events)::int from error_group_minutes m"
        " join error_groups g on g.id = m.group_id where g.issue_id = i.id) from error_issues i where i.id = %s",
        [issue],
    ).fetchone()


HOLDS = {
    "issue": "select * from error_issues where id = {one} for update",
    "group": "select * from error_groups where issue_id = {one} for update",
    "decision": "update error_issues set status = 'resolved' where id = {one}",
    "merge": "select merge_error_issues({other}, '{{{one}}}')",
}


@pytest.mark.parametrize("held", HOLDS)
def test_events_are_kept_while_somebody_holds_their_issue(
    sender: Sender, database: Database, ops_url: str, held: str
) -> None:
    one, other = (issue_of(database, sender.event(kind)) for kind in (f"Held{held}", f"Other{held}"))
    with transaction(ops_url, HOLDS[held].format(one=one, other=other)):
        for person in ("ada", "grace", "ada"):
            sender.event(f"Held{held}", user={"id": person})
        free = sender.event(f"Free{held}")
        sender.event(f"Free{held}")
        assert counts(database, issue_of(database, free)) == (2, 1, 2), "others are counted at once"
        assert counts(database, one) == (1, 1, 1)
        kept = database.execute("select count(*) from error_events where message like %s", [f"Held{held}%"])
        assert kept.fetchone() == (4,)
    both = {"merge": (other, (5, 3, 5))}
    issue, wanted = both.get(held, (one, (4, 3, 4)))
    until(lambda: counts(database, issue) == wanted, within=LATER_SECONDS)
    assert database.execute("select count(*) from error_pending_counts").fetchone() == (0,)


def test_the_next_events_of_a_group_bring_what_is_pending_with_them(
    sender: Sender, database: Database, ops_url: str
) -> None:
    issue = issue_of(database, sender.event("Next"))
    pending = "select pg_advisory_xact_lock(hashtext('opsbook.error_pending_counts'))"  # as if another counted them
    with transaction(ops_url, pending):
        with transaction(ops_url, f"select * from error_issues where id = {issue} for update"):
            sender.event("Next")
        assert counts(database, issue) == (1, 1, 1)
        sender.event("Next")
        assert counts(database, issue) == (3, 1, 3)


def test_events_on_their_way_while_their_issue_is_deleted_make_a_new_one(
    sender: Sender, database: Database, ops_url: str
) -> None:
    forgotten = sender.event("Deleted")
    issue = issue_of(database, forgotten)
    with psycopg.connect(ops_url) as operator:
        operator.execute("select delete_error_issue(%s)", [issue])
        kept = sender.event("Deleted")
    pending = "select count(*) from error_pending_counts"
    until(lambda: database.execute(pending).fetchone() == (0,), within=LATER_SECONDS)
    new = issue_of(database, kept)
    assert new != issue
    assert counts(database, new) == (1, 1, 1)
    assert database.execute("select from error_events where event_id = %s", [forgotten]).fetchone() is None


def test_of_a_flood_that_cannot_be_counted_not_all_is_kept(sender: Sender, database: Database, ops_url: str) -> None:
    issue = issue_of(database, sender.event("HeldFlood"))
    with transaction(ops_url, f"select * from error_issues where id = {issue} for update"):
        for _ in range(4):
            assert sender.send(*(("event", new_event("HeldFlood")) for _ in range(50))).status_code == 200
    kept = "select count(*)::int, sum(stands_for)::int from error_events where message like 'HeldFlood%%'"
    assert database.execute(kept).fetchone() == (110, 200)
    until(lambda: counts(database, issue) == (201, 1, 201), within=LATER_SECONDS)


def test_nothing_is_lost_or_counted_twice_while_issues_are_merged_and_split(
    sender: Sender, database: Database, ops_url: str
) -> None:
    kinds = [f"Moved{number}" for number in range(3)]
    for kind in kinds:
        sender.event(kind)
    ending = threading.Event()
    operator = threading.Thread(target=_decide, args=[ops_url, ending])
    senders = [threading.Thread(target=_send, args=[sender, kind]) for kind in kinds for _ in range(2)]
    operator.start()
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    ending.set()
    operator.join()
    until(lambda: database.execute("select from error_pending_counts").fetchone() is None, within=LATER_SECONDS)
    row = database.execute(
        "select sum(g.events)::int, (select sum(stands_for)::int from error_events where message like 'Moved%%')"
        " from error_groups g join error_issues i on i.id = g.issue_id where i.title like 'Moved%%'"
    ).fetchone()
    assert row == (3 + 6 * EVENTS, 3 + 6 * EVENTS)
    groups = "select sum(g.events) from error_groups g where g.issue_id = i.id"
    wrong = f"select id from error_issues i where status <> 'merged' and events is distinct from ({groups})"
    assert database.execute(wrong.encode()).fetchall() == []


def _send(sender: Sender, kind: str) -> None:
    for _ in range(EVENTS):
        sender.event(kind)


def _decide(url: str, ending: threading.Event) -> None:
    """Merge what there is and split it again, each in no hurry to commit, over and over."""
    with psycopg.connect(url, application_name="psql") as connection:
        while not ending.is_set():
            found = connection.execute(
                "select min(i.id), array_agg(i.id) from error_issues i where title like 'Moved%' and status <> 'merged'"
            ).fetchone()
            assert found is not None
            connection.execute("select merge_error_issues(%s, array_remove(%s, %s))", [found[0], found[1], found[0]])
            ending.wait(0.05)
            connection.commit()
            connection.execute(
                "select split_error_issue(%s, array[(select max(id) from error_groups where issue_id = %s)])",
                [found[0], found[0]],
            )
            ending.wait(0.05)
            connection.commit()
