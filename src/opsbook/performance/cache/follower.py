"""Follows the purges in the ops database, whoever wrote them, and has this process and its Redis forget."""

from __future__ import annotations

import time
from collections.abc import Callable

from opsbook.core.bus import Bus, SyncConnection
from opsbook.core.log import get_logger
from opsbook.core.redis_link import RedisAway
from opsbook.performance.cache.process import CacheProcess
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.shared_purges import purge_shared_once
from opsbook.performance.cache.steps import carry_out
from opsbook.performance.cache.store import QUERIES

_TRUSTED_SECONDS = 12 * 3600.0
"""Well below the day for which purges are remembered: who heard nothing for longer forgets everything."""

log = get_logger(__name__)


class Follower:
    """One process's reader of `cache_purges`, told by the bus."""

    def __init__(self, process: CacheProcess, bus: Bus) -> None:
        self._process = process
        self._held: int | None = None
        self._heard_at = time.monotonic()
        self.stop: Callable[[], None] = bus.subscribe("cache", self._hear)
        """Follow no more."""

    @property
    def is_ready(self) -> bool:
        """Whether it knows from where on it follows."""
        return self._held is not None

    def _hear(self, connection: SyncConnection, _: int) -> None:
        if time.monotonic() - self._heard_at > _TRUSTED_SECONDS:
            self._process.apply(Purge("all"))
        # At first it is not known which purges came before this process asked anything: a few too many do no harm.
        statement = "recent_purges" if self._held is None else "purges_since"
        held = self._newest(connection) if self._held is None else self._held
        for revision, kind, target, digest in connection.execute(QUERIES[statement], {"revision": held}):
            self._obey(int(revision), Purge(kind, target, bytes(digest)))
            held = max(held, int(revision))
        self._held = held
        self._heard_at = time.monotonic()

    def _newest(self, connection: SyncConnection) -> int:
        row = connection.execute(QUERIES["revision"]).fetchone()
        return int(row[0]) if row else 0

    def _obey(self, revision: int, purge: Purge) -> None:
        process = self._process
        process.apply(purge)
        if process.link is not None:
            try:
                carry_out(purge_shared_once(process.link, process.names, purge, revision, process.sender), lambda: None)
            except RedisAway:
                process.owe(purge)
            process.apply(purge)  # also what was fetched from Redis between the two
