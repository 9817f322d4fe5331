"""Flags straight from the ops database, by the bus."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from itertools import starmap

import psycopg

from opsbook.core.bus import NEW_CONNECTION, Bus, SyncConnection
from opsbook.core.postgres.connect import parameters
from opsbook.core.queries import load_queries
from opsbook.flags.exposures.counting import Counts
from opsbook.flags.model import Flag, flag_decoded, segment_decoded
from opsbook.flags.readers import store as readers
from opsbook.flags.readers.confirming import Confirming
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.interface import Receiver, Source

_QUERIES = load_queries("opsbook.flags")
_MOST_CHANGES = 1000


class PostgresSource(Source):
    """Follows `feature_flags`; `bus` is the process's own where it has one."""

    def __init__(self, url: str, bus: Bus | None = None) -> None:
        self._url = url
        self._identity = hashlib.sha256(_without_password(url).encode()).hexdigest()[:12]
        self._bus = bus or Bus(url, "opsbook flags")
        self._owns_bus = bus is None
        self._confirming = Confirming("postgres")
        self._undo: tuple[Callable[[], None], ...] = ()

    @property
    def identity(self) -> str:
        return self._identity

    def start(self, receiver: Receiver) -> None:
        if not self._undo:
            self._undo = (
                self._bus.subscribe("flags", _Follower(receiver, self._confirming)),
                self._bus.attend(self._confirm),
            )
        self._bus.start()

    def stop(self) -> None:
        if self._owns_bus:
            self._bus.stop()
        for undo in self._undo:
            undo()
        self._undo = ()

    def report(self, counts: Counts) -> None:
        from opsbook.flags.exposures.store import QUERIES, parameters_of

        # A connection of its own: the bus must not wait for it.
        with psycopg.connect(self._url, **parameters("opsbook exposures")) as connection:
            # Counts may be lost in a crash anyway; they must not wait for the disk.
            connection.execute("set local synchronous_commit = off")
            connection.execute(QUERIES["add"], parameters_of(counts))

    def forget_thread(self) -> None:
        self._bus.forget_thread()
        self._confirming.begin_anew()

    def _confirm(self, connection: SyncConnection, stopping: bool) -> float:
        """On the bus's connection: with one more in each of fifty workers, confirming would cost more than obeying."""
        if stopping:
            with suppress(psycopg.Error):
                connection.execute(readers.QUERIES["leave"], {"id": self._confirming.id})
            self._confirming.begin_anew()
        return self._confirming.settle(
            lambda due: connection.execute(readers.QUERIES["confirm"], readers.parameters_of(due))
        )


class _Follower:
    """Brings the receiver to the newest revision: by the changes since its own, or whole."""

    def __init__(self, receiver: Receiver, confirming: Confirming) -> None:
        self._receiver = receiver
        self._confirming = confirming

    def __call__(self, connection: SyncConnection, revision: int) -> None:
        held = self._receiver.snapshot
        # A new connection may lead to a restored database, whose revisions are of another life.
        if revision == NEW_CONNECTION:
            self._receiver.receive(_read_whole(connection))
        elif revision > held.revision:
            self._receiver.receive(_read_changes(connection, held))
        self._confirming.serve(self._receiver.snapshot.revision)


def _read_whole(connection: SyncConnection) -> Snapshot:
    row = connection.execute(_QUERIES["snapshot"]).fetchone()
    assert row is not None
    return Snapshot.of(row[0], starmap(flag_decoded, row[1]), starmap(segment_decoded, row[2]))


def _read_changes(connection: SyncConnection, held: Snapshot) -> Snapshot:
    rows = connection.execute(_QUERIES["changes_since"], {"revision": held.revision}).fetchall()
    if not rows:
        return held
    if len(rows) > _MOST_CHANGES or any(is_segment for *_, is_segment in rows):
        return _read_whole(connection)
    changes: dict[str, Flag | None] = {name: flag_decoded(name, after) if after else None for _, name, after, _ in rows}
    return held.changed(rows[-1][0], changes)


def _without_password(url: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(url)
    return f"{parts.get('host')}:{parts.get('port')}/{parts.get('dbname')}"
