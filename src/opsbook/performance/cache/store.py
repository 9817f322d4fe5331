"""The cache in the ops database: purges by an operator's hand, and what all processes have counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg.rows import DictRow

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.statistics import hit_rate, seconds_saved

QUERIES = load_queries("opsbook.performance.cache")


@dataclass(frozen=True, slots=True)
class FunctionStatistics:
    """What the cache did for one function in all processes, and what they hold of it now."""

    function: str
    hits: int
    shared_hits: int
    stale: int
    misses: int
    waits: int
    refreshes: int
    errors: int
    seconds: float
    """Spent computing."""
    processes: int
    """That have reported within the last minute."""
    entries: int
    bytes: int

    @property
    def hit_rate(self) -> float:
        """The part of calls that did not have to wait for a computation."""
        return hit_rate(self.hits + self.shared_hits + self.stale, self.misses + self.waits)

    @property
    def seconds_saved(self) -> float:
        """About how long callers would have computed without the cache."""
        answered = self.hits + self.shared_hits + self.stale + self.waits
        return seconds_saved(answered, self.misses + self.refreshes, self.seconds)


async def purge(connection: Connection, purge: Purge) -> int:
    """Have every process forget something; gives the revision by which it is known."""
    given = {"kind": purge.kind, "target": purge.target, "digest": purge.digest, "origin": "operator"}
    row = await (await connection.execute(QUERIES["purge"], given)).fetchone()
    assert row is not None
    return int(row["revision"])


async def statistics(connection: Connection, period: timedelta | None = None) -> Sequence[FunctionStatistics]:
    """What the cache did within a period, or ever; the function that computed longest first."""
    rows = await (await connection.execute(QUERIES["statistics"], {"period": period})).fetchall()
    return [FunctionStatistics(**row) for row in rows]


async def history(connection: Connection, period: timedelta, function: str | None = None) -> Sequence[DictRow]:
    """`hour`, `hits`, `shared_hits`, `stale`, `misses` and `waits`, oldest first, of one function or of all."""
    parameters = {"period": period, "function": function}
    return await (await connection.execute(QUERIES["history"], parameters)).fetchall()


async def find_purge(connection: Connection, revision: int) -> Purge | None:
    """What a revision had everybody forget; None where that is long ago, or never was."""
    row = await (await connection.execute(QUERIES["find_purge"], {"revision": revision})).fetchone()
    return Purge(**row) if row else None


async def tidy(connection: Connection) -> None:
    """Forget purges that everybody has heard of and processes that are gone; fold hours older than a month."""
    for statement in ("forget_purges", "forget_processes", "fold_statistics"):
        await connection.execute(QUERIES[statement])
