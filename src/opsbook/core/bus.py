"""The bus: tells a process that a topic has a newer revision, within milliseconds and for certain.

One LISTEN connection a process, in a daemon thread, so that it serves threaded and async
programs alike. A notification carries a topic and a revision, nothing else; the subscriber
fetches what is newer than what it holds. A notification can be lost (the listener's backend
was killed, the connection dropped), so the newest revisions are also read every second.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

import psycopg
from psycopg.rows import TupleRow

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import guarded, parameters

SyncConnection: TypeAlias = psycopg.Connection[TupleRow]
Subscriber: TypeAlias = Callable[[SyncConnection, int], None]
"""Called in the bus's thread with its connection and the topic's newest known revision.

Called again with the same one, each second, while any of the topic's subscribers fails.
"""

Attendant: TypeAlias = Callable[[SyncConnection, bool], float]
"""Called in the bus's thread with its connection, and whether the bus is about to stop; must not raise, nor wait.

Gives the seconds after which it is to be called again, at the latest.
"""

NEW_CONNECTION = 0
"""The revision with which a subscriber is called when a connection begins, before any is known."""

_CHECK_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 2.0
"""So that no draw is taken from the service's own random numbers, which it may have seeded."""

log = get_logger(__name__)


class Bus:
    """One process's ear on the ops database. `start` it once; it reconnects for ever."""

    def __init__(self, url: str, name: str = "opsbook bus") -> None:
        self._url = url
        self._name = name
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._attendants: list[Attendant] = []
        self._newest: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._checked_at = 0.0

    def subscribe(self, topic: str, subscriber: Subscriber) -> Callable[[], None]:
        """Be called on each new revision, and once after each (re)connection; gives the undo."""
        self._subscribers.setdefault(topic, []).append(subscriber)
        return lambda: self._subscribers[topic].remove(subscriber)

    def attend(self, attendant: Attendant) -> Callable[[], None]:
        """Be called when every subscriber was told what was heard, each second at least, and last before a stop.

        For what has time until then, and wants no connection of its own. Gives the undo.
        """
        self._attendants.append(attendant)
        return lambda: self._attendants.remove(attendant)

    def start(self) -> None:
        """Begin listening; does nothing where this process already does."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """End the thread, waiting at most `timeout` seconds for it."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def forget_thread(self) -> None:
        """In a forked child: the parent's thread is not here, and its events may be half-set."""
        self._stop = threading.Event()
        self._thread = None

    def _run(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            try:
                with psycopg.connect(guarded(self._url), autocommit=True, **parameters(self._name)) as connection:
                    attempt = 0
                    self._listen(connection)
            except psycopg.Error as error:
                log.warning("bus_disconnected", error=type(error).__name__)
            except Exception:
                # A thread that ended would leave the process deaf for ever.
                log.exception("bus_failed")
            attempt += 1
            # Full jitter, so that fifty workers do not all return to a restarted server at once.
            self._stop.wait(jitter(0.05, min(_LONGEST_BACKOFF_SECONDS, 0.1 * 2**attempt)))

    def _listen(self, connection: SyncConnection) -> None:
        connection.execute("listen opsbook")
        self._newest.clear()
        self._checked_at = 0.0
        for topic in list(self._subscribers):
            self._tell(connection, topic, NEW_CONNECTION)
        while not self._stop.is_set():
            if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
                self._check_revisions(connection)
            wanted = self._give_time(connection)
            left = max(0.0, min(wanted, self._checked_at + _CHECK_SECONDS - time.monotonic()))
            # As a list: the generator holds the connection's lock, which a subscriber's query needs.
            for notification in list(connection.notifies(timeout=left, stop_after=1)):
                # Whoever may connect may notify: what is not of our form is none of ours.
                if heard := re.fullmatch(r"(.+):([0-9]{1,18})", notification.payload):
                    self._hear(connection, heard[1], int(heard[2]))
        self._give_time(connection, stopping=True)

    def _give_time(self, connection: SyncConnection, *, stopping: bool = False) -> float:
        return min((attendant(connection, stopping) for attendant in tuple(self._attendants)), default=_CHECK_SECONDS)

    def _check_revisions(self, connection: SyncConnection) -> None:
        rows = connection.execute("select topic, revision from opsbook.revisions").fetchall()
        self._checked_at = time.monotonic()
        for topic, revision in rows:
            self._hear(connection, topic, revision)

    def _hear(self, connection: SyncConnection, topic: str, revision: int) -> None:
        # Other than the last, not greater: an invented notification must not deafen us to the true ones after it.
        if revision != self._newest.get(topic):
            self._tell(connection, topic, revision)

    def _tell(self, connection: SyncConnection, topic: str, revision: int) -> None:
        all_well = True
        for subscriber in tuple(self._subscribers.get(topic, ())):
            try:
                subscriber(connection, revision)
            except psycopg.OperationalError:
                raise
            except Exception:
                # One subscriber's defect must not deafen the others, nor end the thread; it is told again.
                all_well = False
                log.exception("bus_subscriber_failed", topic=topic, revision=revision, process=os.getpid())
        if all_well:
            self._newest[topic] = revision
