"""Pool reports in the ops database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.database.pool.meter import Holder
from opsbook.database.pool.status import PoolStatus

_QUERIES = load_queries("opsbook.database.pool")
_DAYS_AHEAD = 14
_DAYS_KEPT = 14
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Process:
    """A process's pool, as it last reported it."""

    id: UUID
    host: str
    pid: int
    program: str
    database: str
    status: PoolStatus | None
    """None for a pool that keeps no count."""
    checked_out: int
    waiting: int
    longest_wait_seconds: float
    arrivals: int
    """Since the process began, as are the other counts."""
    timeouts: int
    failures: int
    waited_seconds: float
    held_seconds: float
    holders: Sequence[Holder]
    started_at: datetime
    reported_at: datetime
    silent_seconds: float

    @property
    def name(self) -> str:
        """As people tell it from others."""
        return f"{self.program} {self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class Activity:
    """What one process asked of its pool in a period."""

    arrivals_per_second: float = 0.0
    """In its busiest minutes."""
    arrivals: int = 0
    timeouts: int = 0
    failures: int = 0
    held_seconds: float = 0.0
    most_checked_out: int = 0
    most_wanted: int = 0
    longest_hold: Holder | None = None
    waits: Mapping[int, int] = field(default_factory=dict)
    """By the buckets of `histogram`."""
    holds: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """How full all pools on one database were in one step of time."""

    database: str
    at: datetime
    capacity: int | None
    """Of the pools in which anything happened; None where nothing did, or one of them has no limit."""
    checked_out: int
    """Each process's most, added up."""
    wanted: int
    """Those who waited for one beside."""
    timeouts: int


async def processes(connection: Connection) -> Sequence[Process]:
    """Every process that reports, or did until it vanished within the hour."""
    rows = await (await connection.execute(_QUERIES["processes"])).fetchall()
    return [_process(row) for row in rows]


async def activities(connection: Connection, period: timedelta) -> Mapping[UUID, Activity]:
    """What each process asked of its pool in the period, by its id; one that asked for nothing is missing."""
    durations = await _durations(connection, period)
    rows = await (await connection.execute(_QUERIES["demand"], {"period": period})).fetchall()
    return {row["process"]: _activity(row, durations[row["process"]]) for row in rows}


async def saturation(connection: Connection, period: timedelta) -> Sequence[Moment]:
    """How full the pools were, in sixty steps up to now; of each database that any pool used."""
    async with connection.cursor(row_factory=class_row(Moment)) as cursor:
        return await (
            await cursor.execute(_QUERIES["saturation"], {"period": period, "step": period / _STEPS})
        ).fetchall()


async def forget_vanished(connection: Connection) -> None:
    """Forget the processes that ended without a word more than an hour ago."""
    await connection.execute(_QUERIES["forget_vanished"])


async def tidy(connection: Connection) -> None:
    """Make the coming days' partitions of the samples; drop what is older than fourteen days."""
    await connection.execute(_QUERIES["tidy_samples"], {"ahead": _DAYS_AHEAD, "kept": _DAYS_KEPT})


async def _durations(connection: Connection, period: timedelta) -> Mapping[UUID, Mapping[str, dict[int, int]]]:
    found: dict[UUID, dict[str, dict[int, int]]] = defaultdict(lambda: {"waits": {}, "holds": {}})
    for row in await (await connection.execute(_QUERIES["durations"], {"period": period})).fetchall():
        found[row["process"]][row["kind"]][row["bucket"]] = row["number"]
    return found


def _process(row: dict[str, Any]) -> Process:
    size, overflow, idle = row.pop("pool_size"), row.pop("max_overflow"), row.pop("checked_in")
    counted = size is not None
    out = row["checked_out"]
    status = PoolStatus(size, overflow, out, idle, max(0, out + idle - size)) if counted else None
    holders = [Holder(**each) for each in row.pop("holders")]
    return Process(**row, status=status, holders=holders)


def _activity(row: dict[str, Any], durations: Mapping[str, dict[int, int]]) -> Activity:
    del row["process"]
    seconds, stack = row.pop("longest_hold_seconds"), row.pop("longest_hold_stack")
    longest = Holder(seconds, stack or ()) if seconds else None
    return Activity(**row, waits=durations["waits"], holds=durations["holds"], longest_hold=longest)
