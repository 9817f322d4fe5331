"""Follows the lines of all processes as they are committed: none missed, none twice, however slow the reader.

It asks for newer lines ten times a second, and only while somebody reads. Notifications would wake every process
that listens on the ops database for each batch of each other process, whether anybody reads or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import PoolTimeout

from opsbook.core.audit import Connect
from opsbook.core.errors import Unavailable
from opsbook.debugging.logs import store
from opsbook.debugging.logs.filter import LogFilter

EVERY_SECONDS: Final = 0.1
AGAIN_SECONDS: Final = 1.0
"""After the database did not answer."""

_LONGEST_COMMIT: Final = timedelta(minutes=1)
"""How long after it was received a line may come to be seen; the sender's statements end before."""
_MOST_MARKS: Final = 1_000


class Follower:
    """One reader's place in the logs; it lies with the reader, so that a slow one costs no memory here."""

    def __init__(self, wanted: LogFilter, since: datetime) -> None:
        """Begin with lines that were received at `since`, by the database's clock."""
        self._wanted = wanted
        self._floor = since
        self._since = since
        self._marks: dict[int, int] = {}

    async def lines(
        self, connect: Connect, away: Callable[[], None] = lambda: None
    ) -> AsyncIterator[Sequence[DictRow]]:
        """What is new, ten times a second; nothing, too, so that the caller can look after the reader.

        Where the database does not answer, `away` is called, and it is asked again each second: nothing is missed.

        Raises:
            Invalid: The filter makes no sense.
        """
        while True:
            try:
                async with connect() as connection:
                    newer = await store.newer(connection, self._wanted, self._marks, self._floor)
            except (psycopg.OperationalError, PoolTimeout, Unavailable):
                away()
                yield ()
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self._advance(newer)
            yield newer.lines
            if not newer.is_behind:
                await asyncio.sleep(EVERY_SECONDS)

    def _advance(self, newer: store.Newer) -> None:
        for writer, number in newer.marks.items():
            self._marks.pop(writer, None)  # so that those last heard stand at the end
            self._marks[writer] = number
        if newer.asked_at is not None and not newer.is_behind:
            self._floor = max(self._since, newer.asked_at - _LONGEST_COMMIT)
        if len(self._marks) > _MOST_MARKS:
            # What goes are the marks of processes that have ended long ago.
            self._marks = dict(list(self._marks.items())[-_MOST_MARKS // 2 :])
