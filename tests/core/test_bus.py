"""The bus: what is committed is heard, whatever becomes of the connection or the notification."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from opsbook.core.bus import NEW_CONNECTION, Bus

HEARD_WITHIN_SECONDS = 2.0
NAME = "bus under test"

Heard = queue.Queue[int]


@pytest.fixture
def bus(ops_url: str) -> Iterator[Bus]:
    made = Bus(ops_url, NAME)
    yield made
    made.stop()


@pytest.fixture
def listen(bus: Bus) -> Callable[[str], Heard]:
    """Subscribe to a topic; what is heard stands in the queue once the connection is there."""

    def listening(topic: str) -> Heard:
        heard: Heard = queue.Queue()
        bus.subscribe(topic, lambda _connection, revision: heard.put(revision))
        bus.start()
        assert heard.get(timeout=10) == NEW_CONNECTION
        return heard

    return listening


def test_a_committed_change_is_heard(listen: Callable[[str], Heard], database: psycopg.Connection) -> None:
    heard = listen("notified")
    revision = next_revision(database, "notified")
    assert within_deadline(heard, revision)


def test_a_rolled_back_change_is_not_heard(listen: Callable[[str], Heard], database: psycopg.Connection) -> None:
    heard = listen("undone")
    with database.transaction(force_rollback=True):
        next_revision(database, "undone")
    first_committed = next_revision(database, "undone")
    assert heard.get(timeout=HEARD_WITHIN_SECONDS) == first_committed == 1


def test_a_killed_listener_hears_what_it_missed(
    listen: Callable[[str], Heard], database: psycopg.Connection, superuser: psycopg.Connection
) -> None:
    heard = listen("killed")
    killed = superuser.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", (NAME,)
    ).fetchall()
    assert killed == [(True,)]
    revision = next_revision(database, "killed")
    assert within_deadline(heard, revision)


def test_a_lost_notification_is_repaired(listen: Callable[[str], Heard], database: psycopg.Connection) -> None:
    heard = listen("silent")
    database.execute("insert into revisions values ('silent', 7)")
    assert within_deadline(heard, 7)


def test_a_subscriber_that_raises_deafens_nobody(
    bus: Bus, listen: Callable[[str], Heard], database: psycopg.Connection
) -> None:
    def defective(_connection: psycopg.Connection, _revision: int) -> None:
        raise ZeroDivisionError

    bus.subscribe("shared", defective)
    heard = listen("shared")
    for _ in range(2):
        assert within_deadline(heard, next_revision(database, "shared"))


def test_a_subscriber_that_failed_is_told_again(
    bus: Bus, listen: Callable[[str], Heard], database: psycopg.Connection
) -> None:
    """A flag change whose reading failed once must not stay unheard until the next change."""
    heard = listen("retried")
    failures = iter([ZeroDivisionError()])
    succeeded = queue.Queue[int]()

    def fails_once(_connection: psycopg.Connection, revision: int) -> None:
        for failure in failures:
            raise failure
        succeeded.put(revision)

    bus.subscribe("retried", fails_once)
    revision = next_revision(database, "retried")
    assert within_deadline(heard, revision)
    assert within_deadline(succeeded, revision)


def test_who_has_unsubscribed_hears_no_more(
    bus: Bus, listen: Callable[[str], Heard], database: psycopg.Connection
) -> None:
    heard, left = listen("left"), queue.Queue[int]()
    undo = bus.subscribe("left", lambda _connection, revision: left.put(revision))
    assert within_deadline(heard, next_revision(database, "left"))
    undo()
    assert within_deadline(heard, next_revision(database, "left"))
    assert left.get_nowait() == 1
    assert left.empty()


def test_who_attends_is_called_as_often_as_it_wishes_and_once_more_at_the_end(
    bus: Bus, listen: Callable[[str], Heard]
) -> None:
    calls = queue.Queue[bool]()

    def attendant(_connection: psycopg.Connection, stopping: bool) -> float:
        calls.put(stopping)
        return 0.01

    bus.attend(attendant)
    listen("attended")
    for _ in range(10):
        assert calls.get(timeout=HEARD_WITHIN_SECONDS) is False
    bus.stop()
    assert calls.queue[-1] is True


def next_revision(database: psycopg.Connection, topic: str) -> int:
    row = database.execute("select next_revision(%s)", (topic,)).fetchone()
    assert row is not None
    return row[0]


def within_deadline(heard: Heard, revision: int) -> bool:
    deadline = time.monotonic() + HEARD_WITHIN_SECONDS
    while heard.get(timeout=max(0.001, deadline - time.monotonic())) < revision:
        pass
    return True
