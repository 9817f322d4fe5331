"""Keeps events: finds or makes their groups, counts, decides which of a flood stay, and writes those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.errors.counting import Group, Placed, count
from opsbook.debugging.errors.dictionaries import Dictionaries
from opsbook.debugging.errors.rows import EventRow, read_row
from opsbook.debugging.errors.sampling import stands_for
from opsbook.debugging.intake.items import Count, Counts, Kept, Origin
from opsbook.debugging.intake.quotas import ERROR
from opsbook.debugging.protocol.envelope import Item

MOST_KNOWN_RELEASES: Final = 10_000
COUNTED_BYTES: Final = 150
"""On disk, of an event in counts: a person, a minute of a trend line."""
EVENT_BYTES: Final = 1_200
"""Of the row of an event with its indexes, beside tags and payload."""
GROUP_BYTES: Final = 1_500
"""Of a group and its issue."""
_QUERIES: Final = load_queries("opsbook.debugging.errors")
Key: TypeAlias = tuple[int, bytes]
"""A project and a fingerprint."""


class EventStore:
    """The store of `event` items. Of each issue the first `full_per_hour` events of an hour are kept whole."""

    def __init__(
        self, full_per_hour: int, dictionaries: Dictionaries, left_pending: Callable[[], None] = lambda: None
    ) -> None:
        """`left_pending` is called where what is written leaves something to be counted later."""
        self._full_per_hour = full_per_hour
        self._left_pending = left_pending
        self._dictionaries = dictionaries
        self._releases: set[tuple[int, str]] = set()
        """Known to be in the database."""

    def read(self, item: Item, origin: Origin) -> Sequence[EventRow]:
        return (read_row(item.payload, origin, self._dictionaries.newest(origin.project_id)),)

    async def write(self, connection: Connection, rows: Sequence[EventRow], counts: Counts) -> Kept:
        new = await _without_duplicates(connection, rows, counts)
        if not new:
            return Kept()
        await self._add_releases(connection, new)
        groups, made = await _groups_of(connection, new)
        placed = [(row, groups[row.project_id, row.hash]) for row in new]
        before = await count(connection, placed, self._left_pending)
        kept = list(_sampled(placed, before, self._full_per_hour))
        await _copy(connection, kept)
        return _weighed(new, [row for row, _, _ in kept], made)

    async def _add_releases(self, connection: Connection, rows: Sequence[EventRow]) -> None:
        releases = {(row.project_id, row.release) for row in rows if row.release} - self._releases
        if not releases:
            return
        keys = sorted(releases)
        parameters = {"projects": [key[0] for key in keys], "releases": [key[1] for key in keys]}
        added = await (await connection.execute(_QUERIES["add_releases"], parameters)).fetchall()
        if len(self._releases) > MOST_KNOWN_RELEASES:
            self._releases.clear()
        # Not those that were just added: this transaction may yet fail.
        self._releases |= releases - {(row["project_id"], row["release"]) for row in added}


async def _without_duplicates(connection: Connection, rows: Sequence[EventRow], counts: Counts) -> list[EventRow]:
    """The first row of each event that is not there yet."""
    first = {(row.project_id, row.event_id): row for row in reversed(rows)}
    found = await connection.execute(_QUERIES["known_events"], {"event_ids": [row.event_id for row in rows]})
    known: set[tuple[int, UUID]] = {(row["project_id"], row["event_id"]) for row in await found.fetchall()}
    new = [row for key, row in reversed(first.items()) if key not in known]
    accepted = Counter(row.project_id for row in new)
    for project_id, events in accepted.items():
        counts[Count(project_id, ERROR, "accepted")] += events
    for project_id, events in (Counter(row.project_id for row in rows) - accepted).items():
        counts[Count(project_id, ERROR, "duplicate")] += events
    return new


async def _groups_of(connection: Connection, rows: Sequence[EventRow]) -> tuple[Mapping[Key, Group], Sequence[Key]]:
    """The group of each fingerprint, and which are new; those are made in the order of their keys."""
    first = {(row.project_id, row.hash): row for row in reversed(rows)}
    keys = sorted(first)
    parameters = {"projects": [key[0] for key in keys], "hashes": [key[1] for key in keys]}
    groups = await _found(connection, "groups", parameters)
    new = [key for key in keys if key not in groups]
    if new:
        groups |= await _found(connection, "new_groups", _made_of([first[key] for key in new]))
    return groups, new


async def _found(connection: Connection, query: str, parameters: Mapping[str, Any]) -> dict[Key, Group]:
    rows = await (await connection.execute(_QUERIES[query], parameters)).fetchall()
    return {(row["project_id"], bytes(row["hash"])): Group(row["id"], row["issue_id"]) for row in rows}


def _made_of(rows: Sequence[EventRow]) -> dict[str, Any]:
    return {
        "projects": [row.project_id for row in rows],
        "hashes": [row.hash for row in rows],
        "parts": [row.parts for row in rows],
        "titles": [row.title for row in rows],
        "culprits": [row.culprit for row in rows],
        "levels": [row.level for row in rows],
        "platforms": [row.platform for row in rows],
        "releases": [row.release for row in rows],
        "seen": [row.occurred_at for row in rows],
    }


def _sampled(placed: Sequence[Placed], before: Mapping[int, int], full: int) -> Iterable[tuple[EventRow, Group, int]]:
    """The events that stay, each with how many it stands for."""
    numbers = Counter(before)
    for row, group in placed:
        numbers[group.issue_id] += 1
        if share := stands_for(numbers[group.issue_id], full):
            yield row, group, share


def _weighed(rows: Sequence[EventRow], kept: Sequence[EventRow], made: Sequence[Key]) -> Kept:
    """What they take on disk, about: those that are not kept are counted, and whom they met is noted."""
    weights = Kept()
    for row in rows:
        weights[row.project_id] += COUNTED_BYTES
    for row in kept:
        weights[row.project_id] += EVENT_BYTES + len(row.tags) + len(row.payload)
    for project_id, _ in made:
        weights[project_id] += GROUP_BYTES
    return weights


async def _copy(connection: Connection, kept: Iterable[tuple[EventRow, Group, int]]) -> None:
    async with connection.cursor() as cursor, cursor.copy(_QUERIES["copy_events"]) as copy:
        # In one order, for another process may be sent the same events.
        for row, group, share in sorted(kept, key=lambda entry: (entry[0].event_id, entry[0].project_id)):
            await copy.write_row(
                (
                    row.received_at.date(),
                    row.event_id,
                    group.id,
                    row.project_id,
                    row.occurred_at,
                    row.received_at,
                    share,
                    row.level,
                    row.platform,
                    row.environment,
                    row.release,
                    row.transaction,
                    row.user_id,
                    row.trace_id,
                    row.message,
                    row.tags,
                    row.payload,
                    row.payload_bytes,
                )
            )
