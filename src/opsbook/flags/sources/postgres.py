"""Flags straight from the ops database, by the bus."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import starmap

import psycopg

from opsbook.core.bus import NEW_CONNECTION, Bus, SyncConnection
from opsbook.core.postgres.connect import parameters
from opsbook.core.queries import load_queries
from opsbook.flags.exposures.counting import Counts
from opsbook.flags.model import Flag, flag_decoded, segment_decoded
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
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def identity(self) -> str:
        return self._identity

    def start(self, receiver: Receiver) -> None:
        if self._unsubscribe is None:
            self._unsubscribe = self._bus.subscribe("flags", _Follower(receiver))
        self._bus.start()

    def stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._owns_bus:
            self._bus.stop()

    def report(self, counts: Counts) -> None:
        from opsbook.flags.exposures.store import QUERIES, parameters_of

        # A connection of its own: the bus must not wait for it.
        with psycopg.connect(self._url, **parameters("opsbook exposures")) as connection:
            # Counts may be lost in a crash anyway; they must not wait for the disk.
            connection.execute("set local synchronous_commit = off")
            connection.execute(QUERIES["add"], parameters_of(counts))

    def forget_thread(self) -> None:
        self._bus.forget_thread()


class _Follower:
    """Brings the receiver to the newest revision: by the changes since its own, or whole."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __call__(self, connection: SyncConnection, revision: int) -> None:
        held = self._receiver.snapshot
        # A new connection may lead to a restored database, whose revisions are of another life.
        if revision == NEW_CONNECTION:
            self._receiver.receive(_read_whole(connection))
        elif revision > held.revision:
            self._receiver.receive(_read_changes(connection, held))


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
