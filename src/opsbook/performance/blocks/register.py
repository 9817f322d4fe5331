"""One process's view of the address blocks: follows the table by the bus, answers from memory, counts what it refuses.

With the ops database gone the last state stays in force, after a restart from the file on disk; what ends, ends by
this process's clock.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from opsbook.core.bus import NEW_CONNECTION, Bus, SyncConnection
from opsbook.core.log import get_logger
from opsbook.core.queries import load_queries
from opsbook.core.state_file import State, StateFile
from opsbook.performance.blocks.hits import Hits
from opsbook.performance.blocks.networks import Networks, PackedNetworks

_QUERIES = load_queries("opsbook.performance.blocks")
_MOST_CHANGES = 5000
_TRUSTED_SECONDS = 3600.0
"""Well below the day for which lifted blocks are remembered: who heard nothing for longer reads everything."""

log = get_logger(__name__)


class AddressBlocks:
    """What is blocked now. Make one for a process, keep it; it starts by itself when first asked."""

    def __init__(self, url: str, bus: Bus | None = None, file: Path | None = None) -> None:
        """Follow the blocks in the ops database at `url`.

        Args:
            url: Address of the ops database.
            bus: The process's own, where it has one.
            file: Where the last state is kept for a start without the database; nowhere where left out.
        """
        self._bus = bus or Bus(url, "opsbook blocks")
        self._owns_bus = bus is None
        self._file = StateFile(file, "address blocks 1")
        self._hits = Hits(url)
        self._networks = _decoded(self._file.read())
        self._read_at = -_TRUSTED_SECONDS
        self._started = False
        self._lock = threading.Lock()
        self._bus.subscribe("blocks", self._hear)
        _alive.add(self)

    @classmethod
    def from_env(cls) -> AddressBlocks:
        """Those of OPSBOOK_DATABASE_URL, or of `opsbook up`'s database.

        Raises:
            NotConfigured: The environment names neither.
        """
        from opsbook.core.settings import load_settings

        settings = load_settings()
        return cls(settings.require_url("ops"), file=settings.home / "snapshots" / "address-blocks")

    @property
    def networks(self) -> Networks:
        """What is obeyed now."""
        return self._networks

    def refuses(self, addresses: Sequence[str]) -> bool:
        """Whether any of the addresses that a caller may have is blocked; if so, it is counted."""
        if not self._started:
            self.start()
        networks, now = self._networks, time.time()
        for address in addresses:
            if (network := networks.find(address, now)) is not None:
                self._hits.count(network, now)
                return True
        return False

    def start(self) -> None:
        """Begin to follow and to report; returns at once."""
        with self._lock:
            if not self._started:
                self._started = True
                self._bus.start()
                self._hits.start()

    def report_hits(self) -> None:
        """Add now to the table what was refused since the last time, which otherwise happens every ten seconds."""
        self._hits.report()

    def close(self) -> None:
        """Stop following; what is in memory stays in force, and `start` begins anew."""
        if self._owns_bus:
            self._bus.stop()
        self._hits.stop()
        self._file.flush()
        self._started = False

    def forget_threads(self) -> None:
        """In a forked child: go on from memory, and follow anew when next asked."""
        self._lock = threading.Lock()
        self._started = False
        self._file.forget_thread()
        self._hits.forget_thread()
        self._bus.forget_thread()

    def _hear(self, connection: SyncConnection, revision: int) -> None:
        # A new connection may lead to a restored database, whose revisions are of another life.
        is_stale = revision == NEW_CONNECTION or time.monotonic() - self._read_at > _TRUSTED_SECONDS
        if not is_stale and revision <= self._networks.revision:
            return
        networks = _read_whole(connection) if is_stale else _read_changes(connection, self._networks)
        self._networks, self._read_at = networks, time.monotonic()
        self._file.keep(networks.revision, lambda: msgspec.msgpack.encode(list(networks.packed())))


def _read_whole(connection: SyncConnection) -> Networks:
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_QUERIES["whole"]).fetchall()
    return Networks.of(rows[0][0], (PackedNetworks(*row) for _, *row in rows if row[0] is not None))


def _read_changes(connection: SyncConnection, held: Networks) -> Networks:
    rows = connection.execute(_QUERIES["changes_since"], {"revision": held.revision}).fetchall()
    if not rows:
        return held
    if len(rows) > _MOST_CHANGES:
        return _read_whole(connection)
    lifted: dict[str, float | None] = {network: None for _, network, end in rows if end is None}
    # What was lifted and blocked again stands in both halves, and is blocked.
    changes = lifted | {network: end for _, network, end in rows if end is not None}
    return held.changed(rows[0][0], changes.items())


def _decoded(state: State | None) -> Networks:
    if state is None:
        return Networks()
    try:
        parts: Iterable[PackedNetworks] = msgspec.msgpack.decode(state.body, type=list[PackedNetworks])
        return Networks.of(state.revision, parts)
    except (msgspec.DecodeError, ValueError) as error:
        log.warning("address_blocks_unreadable", error=str(error))
        return Networks()


_alive: weakref.WeakSet[AddressBlocks] = weakref.WeakSet()


def _forget_threads() -> None:
    for blocks in tuple(_alive):
        blocks.forget_threads()


os.register_at_fork(after_in_child=_forget_threads)
