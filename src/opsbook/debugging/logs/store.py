"""Log lines and log levels in the ops database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from opsbook.core import audit
from opsbook.core.errors import Invalid, NotFound
from opsbook.core.log import LEVELS
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.logs.filter import LogFilter, Place

LONGEST_PERIOD = timedelta(days=7)
MOST_LINES = 1000

QUERIES = load_queries("opsbook.debugging.logs")
_DAYS_AHEAD = 14
_MOST_AT_ONCE = 500


async def search(
    connection: Connection,
    wanted: LogFilter,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    before: Place | None = None,
    limit: int = 100,
) -> Sequence[DictRow]:
    """Lines that match, newest first; `before` is where an earlier page ended.

    Raises:
        Invalid: The filter makes no sense.
    """
    place = {
        "before_time": before.logged_at if before else None,
        "before_writer": before.writer if before else None,
        "before_number": before.number if before else None,
    }
    given = {**wanted.parameters(), **place, "since": since, "until": until, "limit": limit}
    # Planned for what is given each time: a plan for any filter would look through everything.
    return await (await connection.execute(QUERIES["search"], given, prepare=False)).fetchall()


def place_of(line: Mapping[str, Any]) -> Place:
    """Where a line that was found stands."""
    return Place(line["logged_at"], line["writer"], line["number"])


@dataclass(frozen=True, slots=True)
class Newer:
    """What a reader has not seen yet: lines in the order of their time, and how far each writer was looked through."""

    lines: Sequence[DictRow]
    marks: Mapping[int, int]
    """The number of each writer's last line that was looked at."""
    asked_at: datetime | None
    """By the database's clock; None where there was nothing new."""
    is_behind: bool
    """Whether there is more to be had at once."""


async def newer(connection: Connection, wanted: LogFilter, marks: Mapping[int, int], floor: datetime) -> Newer:
    """What was committed after the marks; lines received before the floor are not looked at.

    Raises:
        Invalid: The filter makes no sense.
    """
    known = {str(writer): number for writer, number in marks.items()}
    given = {**wanted.parameters(), "marks": Jsonb(known), "floor": floor, "limit": _MOST_AT_ONCE}
    rows = await (await connection.execute(QUERIES["newer"], given, prepare=False)).fetchall()
    return Newer(
        [row for row in rows if row["number"] is not None],
        {row["writer"]: row["looked_through"] for row in rows},
        rows[0]["now"] if rows else None,
        any(row["is_behind"] for row in rows),
    )


async def clock(connection: Connection) -> datetime:
    """The database's time, by which lines are received."""
    row = await (await connection.execute(QUERIES["now"])).fetchone()
    assert row is not None
    return row["now"]


async def note_reading(connection: Connection, wanted: LogFilter) -> None:
    """Record that whoever acts reads the logs, and which."""
    chosen = {name: value for name in wanted.__slots__ if (value := getattr(wanted, name))}
    await audit.record(connection, "logs.read", "logs", "lines", after=chosen)


async def levels(connection: Connection) -> Sequence[DictRow]:
    """The levels in force, that of all loggers first."""
    return await (await connection.execute(QUERIES["levels"])).fetchall()


async def set_level(
    connection: Connection, level: str, period: timedelta, logger: str = "root", reason: str | None = None
) -> DictRow:
    """Have every process log from this level up for a while; `root` stands for all loggers.

    Raises:
        Invalid: There is no such level, or the period is not within a second and a week.
    """
    if level.upper() not in LEVELS:
        raise Invalid(f"{level!r} is no log level; there are {', '.join(LEVELS)}")
    if not timedelta(seconds=1) <= period <= LONGEST_PERIOD:
        raise Invalid("a log level is set for a second at least, and for 7 days at most")
    given = {"logger": logger, "level": level.upper(), "period": period, "reason": reason}
    row = await (await connection.execute(QUERIES["set_level"], given)).fetchone()
    assert row is not None
    return row


async def end_level(connection: Connection, logger: str = "root") -> None:
    """Go back now to what each process has by itself.

    Raises:
        NotFound: Nothing is set for this logger.
    """
    row = await (await connection.execute(QUERIES["end_level"], {"logger": logger})).fetchone()
    if row is None:
        raise NotFound(f"no level is set for the logger {logger!r}; `opsbook logs level` shows what is")


async def end_due_levels(connection: Connection) -> None:
    """Take out levels whose time is over."""
    await connection.execute(QUERIES["end_due_levels"])


async def tidy(connection: Connection, days: int) -> None:
    """Make the partitions of the coming days; drop lines received more than so many days ago."""
    await connection.execute(QUERIES["make_days"], {"days": _DAYS_AHEAD})
    await connection.execute(QUERIES["drop_old_days"], {"days": days})
    await connection.execute(QUERIES["forget_writers"], {"days": days})
