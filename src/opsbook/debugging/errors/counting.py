"""Counts events for their groups and issues, and later those whose issue somebody holds just now.

An operator who decides about an issue holds its row, for however long; a merge holds several. Events
come meanwhile, and are kept and acknowledged: what they add to the counts waits in a table of its
own, written in the same transaction, and is counted once the issue is let go, with the next events
of the same group or by `PendingCounts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
import psycopg
from psycopg_pool import PoolTimeout

from opsbook.core.errors import Unavailable
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import Connection, Pool
from opsbook.core.queries import load_queries
from opsbook.debugging.errors.rows import EventRow

GROUPS_AT_ONCE: Final = 1_000
"""Of which what is pending is counted in one transaction."""
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 2.0
_AWAY_SECONDS: Final = 15.0
_QUERIES: Final = load_queries("opsbook.debugging.errors")

log = get_logger(__name__)


class Group(msgspec.Struct, frozen=True):
    """A group and the issue that it belongs to."""

    id: int
    issue_id: int


Placed: TypeAlias = tuple[EventRow, Group]


async def count(connection: Connection, placed: Sequence[Placed], left: Callable[[], None]) -> Mapping[int, int]:
    """Count the events for their groups and issues; gives how many each issue had in this hour before.

    `left` is called where some are left pending, because somebody holds the issue or the group.
    """
    held = set(await _hold(connection, [group for _, group in placed]))
    now = [entry for entry in placed if entry[1].id in held]
    later = [entry for entry in placed if entry[1].id not in held]
    before: dict[int, int] = {}
    if now:
        before |= await _before(connection, "count", {**_columns(now), "held": list(held)})
    if later:
        left()
        issues = list({group.issue_id for _, group in later})
        before |= await _before(connection, "leave_pending", {**_columns(later), "issues": issues})
    return before


async def count_pending(connection: Connection) -> bool:
    """Count what was left pending, as far as nobody holds it now; gives whether something is left."""
    async with connection.transaction():
        mine = await (await connection.execute(_QUERIES["hold_pending"])).fetchone()
        if mine is None or not mine["is_ours"]:
            return True
        await connection.execute(_QUERIES["revive_groups"])
        found = await connection.execute(_QUERIES["pending_groups"], {"limit": GROUPS_AT_ONCE})
        groups = [Group(**row) for row in await found.fetchall()]
        held = await _hold(connection, groups)
        if held:
            await _before(connection, "count", {**_columns(()), "held": held})
        return len(held) < len(groups) or len(groups) == GROUPS_AT_ONCE


class PendingCounts:
    """Looks after what one process left pending; what a killed one did, the worker counts, or the next to start."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._is_left = True
        self._news = asyncio.Event()
        self._news.set()

    def left(self) -> None:
        """A transaction that is under way leaves something pending."""
        self._is_left = True

    def committed(self) -> None:
        """A transaction was committed."""
        if self._is_left:
            self._is_left = False
            self._news.set()

    async def run(self) -> None:
        """Count what is pending, as soon as it can be, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            pause = _FIRST_PAUSE_SECONDS
            while await self._is_some_left():
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _is_some_left(self) -> bool:
        try:
            async with self._pool.connection() as connection:
                return await count_pending(connection)
        except (psycopg.Error, PoolTimeout, Unavailable, OSError) as error:
            log.warning("events_not_counted", error=type(error).__name__)
            await asyncio.sleep(_AWAY_SECONDS)
            return True


async def _hold(connection: Connection, groups: Collection[Group]) -> list[int]:
    """The groups of these that nobody else holds, nor their issues: now this transaction does."""
    parameters = {"groups": sorted({group.id for group in groups}), "issues": sorted({g.issue_id for g in groups})}
    return [row["id"] for row in await (await connection.execute(_QUERIES["hold_groups"], parameters)).fetchall()]


async def _before(connection: Connection, query: str, parameters: Mapping[str, Any]) -> Mapping[int, int]:
    counted = await (await connection.execute(_QUERIES[query], parameters)).fetchall()
    return {row["id"]: row["before"] for row in counted}


class _Tally(msgspec.Struct):
    """What a transaction adds to a group in a minute."""

    group_id: int
    minute: datetime
    events: int
    first_seen: datetime
    last_seen: datetime
    release: str | None
    row: EventRow
    """Any of its events."""

    def add(self, row: EventRow) -> None:
        self.events += 1
        self.first_seen = min(self.first_seen, row.occurred_at)
        if row.occurred_at >= self.last_seen:
            self.last_seen, self.release = row.occurred_at, row.release or self.release


def _tallies(placed: Sequence[Placed]) -> Collection[_Tally]:
    tallies: dict[tuple[int, datetime], _Tally] = {}
    for row, group in placed:
        key = group.id, row.received_at.replace(second=0, microsecond=0)
        if key not in tallies:
            tallies[key] = _Tally(*key, 0, row.occurred_at, row.occurred_at, None, row)
        tallies[key].add(row)
    return tallies.values()


def _columns(placed: Sequence[Placed]) -> dict[str, Any]:
    """What is to be counted, and what makes the groups anew, as columns of the statements' parameters."""
    tallies = _tallies(placed)
    people = {(group.id, row.person) for row, group in placed if row.person is not None}
    return {
        "people_groups": [key[0] for key in people],
        "people": [key[1] for key in people],
        "groups": [tally.group_id for tally in tallies],
        "minutes": [tally.minute for tally in tallies],
        "events": [tally.events for tally in tallies],
        "first_seen": [tally.first_seen for tally in tallies],
        "last_seen": [tally.last_seen for tally in tallies],
        "releases": [tally.release for tally in tallies],
        "projects": [tally.row.project_id for tally in tallies],
        "hashes": [tally.row.hash for tally in tallies],
        "parts": [tally.row.parts for tally in tallies],
        "titles": [tally.row.title for tally in tallies],
        "culprits": [tally.row.culprit for tally in tallies],
        "levels": [tally.row.level for tally in tallies],
        "platforms": [tally.row.platform for tally in tallies],
    }
