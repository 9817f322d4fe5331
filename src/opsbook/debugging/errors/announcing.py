"""Tells every process that events came, so that open pages show them; nobody who sends waits for it.

Not by a revision: that is counted under a lock until commit, and writers of events must not wait for each other.
"""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from opsbook.core.errors import Unavailable
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import Pool
from opsbook.core.queries import load_queries

QUIET_SECONDS: Final = 0.6
"""After an announcement; the next stands for all that came meanwhile."""

_QUERIES: Final = load_queries("opsbook.debugging.errors")

log = get_logger(__name__)


class Announcer:
    """Announces at once what comes after a quiet time, and the rest of a flood now and then."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._news = asyncio.Event()

    def note(self) -> None:
        """Events were committed."""
        self._news.set()

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                async with self._pool.connection() as connection:
                    await connection.execute(_QUERIES["announce_events"])
            except (psycopg.Error, PoolTimeout, Unavailable, OSError) as error:
                log.warning("events_not_announced", error=type(error).__name__)
            await asyncio.sleep(QUIET_SECONDS)
