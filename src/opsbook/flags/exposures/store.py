"""Exposure counts in the ops database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.flags.exposures.counting import Counts

QUERIES = load_queries("opsbook.flags.exposures")
_MONTHS_AHEAD = 12
_MONTHS_KEPT = 13
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Exposure:
    """How often a flag was one of the things that it can be."""

    variant: str
    count: int
    share: float
    """Of all its evaluations in the period; 0 to 1."""
    last_at: datetime


def parameters_of(counts: Counts) -> Mapping[str, Jsonb]:
    """What the statement `add` takes."""
    rows: Iterable[Mapping[str, object]] = (
        {"flag": flag, "variant": variant, "count": count} for (flag, variant), count in counts.items()
    )
    return {"counts": Jsonb(list(rows))}


async def add(connection: Connection, counts: Counts) -> None:
    """Add what a process counted to this hour; flags and variants that do not exist are passed over."""
    await connection.execute(QUERIES["add"], parameters_of(counts))


async def exposures(connection: Connection, flag: str, period: timedelta = _DAY) -> Sequence[Exposure]:
    """What a flag was for those who asked within the period, most often first; whole hours are counted."""
    rows = await (await connection.execute(QUERIES["of_flag"], {"flag": flag, "period": period})).fetchall()
    total = sum(row["count"] for row in rows)
    return [Exposure(row["variant"], row["count"], row["count"] / total, row["last_at"]) for row in rows]


async def last_evaluated(connection: Connection) -> Mapping[str, datetime]:
    """When each flag was last asked for, by its name; a flag that never was is missing."""
    rows = await (await connection.execute(QUERIES["last_evaluated"])).fetchall()
    return {row["flag"]: row["last_at"] for row in rows}


async def tidy(connection: Connection) -> None:
    """Make the coming months' partitions; drop what is older than thirteen months."""
    await connection.execute(QUERIES["tidy"], {"ahead": _MONTHS_AHEAD, "kept": _MONTHS_KEPT})
