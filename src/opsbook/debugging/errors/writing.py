"""Keeps events: finds or makes their groups, counts, decides which of a flood stay, and writes those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.errors.rows import EventRow, read_row
from opsbook.debugging.errors.sampling import stands_for
from opsbook.debugging.intake.items import Count, Counts, Origin
from opsbook.debugging.intake.quotas import ERROR
from opsbook.debugging.protocol.envelope import Item

_QUERIES: Final = load_queries("opsbook.debugging.errors")
Key: TypeAlias = tuple[int, bytes]
"""A project and a fingerprint."""


class Group(msgspec.Struct, frozen=True):
    """A group and the issue that it belongs to."""

    id: int
    issue_id: int


Placed: TypeAlias = tuple[EventRow, Group]


class EventStore:
    """The store of `event` items. Of each issue the first `full_per_hour` events of an hour are kept whole."""

    def __init__(self, full_per_hour: int) -> None:
        self._full_per_hour = full_per_hour

    def read(self, item: Item, origin: Origin) -> Sequence[EventRow]:
        row = read_row(
            item.payload,
            project_id=origin.project_id,
            received_at=origin.received_at,
            scrubber=origin.scrubber,
            sent_at=origin.sent_at,
            event_id=origin.event_id,
            address=origin.address,
        )
        return (row,)

    async def write(self, connection: Connection, rows: Sequence[EventRow], counts: Counts) -> None:
        await connection.execute(_QUERIES["hold_groups"])
        new = await _without_duplicates(connection, rows, counts)
        if not new:
            return
        await _add_releases(connection, new)
        groups = await _groups_of(connection, new)
        placed = [(row, groups[row.project_id, row.hash]) for row in new]
        before = await _count(connection, placed)
        kept = _sampled(placed, before, self._full_per_hour)
        await _copy(connection, kept)


async def _without_duplicates(connection: Connection, rows: Sequence[EventRow], counts: Counts) -> list[EventRow]:
    """The first row of each event that is not there yet."""
    by_id = {row.event_id: row for row in reversed(rows)}
    found = await connection.execute(_QUERIES["known_events"], {"event_ids": list(by_id)})
    known: set[UUID] = {row["event_id"] for row in await found.fetchall()}
    new = [row for row in reversed(by_id.values()) if row.event_id not in known]
    accepted = Counter(row.project_id for row in new)
    for project_id, events in accepted.items():
        counts[Count(project_id, ERROR, "accepted")] += events
    for project_id, events in (Counter(row.project_id for row in rows) - accepted).items():
        counts[Count(project_id, ERROR, "duplicate")] += events
    return new


async def _groups_of(connection: Connection, rows: Sequence[EventRow]) -> Mapping[Key, Group]:
    """The group of each fingerprint; new ones are made in the order of their keys."""
    first = {(row.project_id, row.hash): row for row in reversed(rows)}
    keys = sorted(first)
    parameters = {"projects": [key[0] for key in keys], "hashes": [key[1] for key in keys]}
    found = await (await connection.execute(_QUERIES["groups"], parameters)).fetchall()
    groups = {(row["project_id"], bytes(row["hash"])): Group(row["id"], row["issue_id"]) for row in found}
    for key in keys:
        if key not in groups:
            groups[key] = await _new_group(connection, first[key])
    return groups


async def _new_group(connection: Connection, row: EventRow) -> Group:
    parameters = {name: getattr(row, name) for name in row.__struct_fields__}
    made = await (await connection.execute(_QUERIES["new_group"], parameters)).fetchone()
    assert made is not None
    return Group(made["id"], made["issue_id"])


async def _add_releases(connection: Connection, rows: Sequence[EventRow]) -> None:
    releases = sorted({(row.project_id, row.release) for row in rows if row.release})
    if releases:
        parameters = {"projects": [key[0] for key in releases], "releases": [key[1] for key in releases]}
        await connection.execute(_QUERIES["add_releases"], parameters)


async def _count(connection: Connection, placed: Sequence[Placed]) -> Mapping[int, int]:
    """Count the events for their issues and groups; gives how many each issue had in this hour before."""
    issues, groups, minutes = _tallies(placed)
    await connection.execute(_QUERIES["lock_issues"], {"issues": sorted(issues)})
    people = sorted({(group.id, row.person) for row, group in placed if row.person is not None})
    new_people = await _add_people(connection, people) if people else {}
    await connection.execute(_QUERIES["count_groups"], _columns(groups))
    await connection.execute(
        _QUERIES["count_minutes"],
        {
            "groups": [key[0] for key in minutes],
            "minutes": [key[1] for key in minutes],
            "events": list(minutes.values()),
        },
    )
    parameters = {**_columns(issues), "people": [new_people.get(issue, 0) for issue in issues]}
    counted = await (await connection.execute(_QUERIES["count_issues"], parameters)).fetchall()
    return {row["id"]: row["before"] for row in counted}


class _Tally(msgspec.Struct):
    """What a transaction adds to an issue or a group."""

    events: int
    first_seen: datetime
    last_seen: datetime
    release: str | None

    def add(self, row: EventRow) -> None:
        self.events += 1
        self.first_seen = min(self.first_seen, row.occurred_at)
        if row.occurred_at >= self.last_seen:
            self.last_seen, self.release = row.occurred_at, row.release or self.release


def _tallies(placed: Sequence[Placed]) -> tuple[dict[int, _Tally], dict[int, _Tally], Counter[tuple[int, datetime]]]:
    """By issue, by group, and events by group and minute."""
    issues: dict[int, _Tally] = {}
    groups: dict[int, _Tally] = {}
    minutes: Counter[tuple[int, datetime]] = Counter()
    for row, group in placed:
        for tallies, key in ((issues, group.issue_id), (groups, group.id)):
            tally = tallies.get(key)
            if tally is None:
                tallies[key] = tally = _Tally(0, row.occurred_at, row.occurred_at, None)
            tally.add(row)
        minutes[group.id, row.received_at.replace(second=0, microsecond=0)] += 1
    return issues, groups, minutes


def _columns(tallies: Mapping[int, _Tally]) -> dict[str, list[Any]]:
    return {
        "ids": list(tallies),
        "events": [tally.events for tally in tallies.values()],
        "first_seen": [tally.first_seen for tally in tallies.values()],
        "last_seen": [tally.last_seen for tally in tallies.values()],
        "releases": [tally.release for tally in tallies.values()],
    }


async def _add_people(connection: Connection, people: Sequence[tuple[int, int]]) -> Mapping[int, int]:
    """Note whom the groups met; gives how many of them each issue had not met before."""
    groups, persons = zip(*people, strict=True)
    added = await connection.execute(_QUERIES["add_people"], {"groups": list(groups), "people": list(persons)})
    return {row["issue_id"]: row["people"] for row in await added.fetchall()}


def _sampled(placed: Sequence[Placed], before: Mapping[int, int], full: int) -> Iterable[tuple[EventRow, Group, int]]:
    """The events that stay, each with how many it stands for."""
    numbers = Counter(before)
    for row, group in placed:
        numbers[group.issue_id] += 1
        if share := stands_for(numbers[group.issue_id], full):
            yield row, group, share


async def _copy(connection: Connection, kept: Iterable[tuple[EventRow, Group, int]]) -> None:
    async with connection.cursor() as cursor, cursor.copy(_QUERIES["copy_events"]) as copy:
        for row, group, share in kept:
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
