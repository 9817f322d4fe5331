"""Puts what was read from another system into the ops database: all of it, in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

import msgspec
import psycopg

from opsbook.core.errors import Conflict, Invalid
from opsbook.core.postgres.connect import Connection
from opsbook.flags import segment_store, store
from opsbook.flags.approval.needed import ApprovalNeeded
from opsbook.flags.interchange.fitting import MOST_NAMED, fitted, is_name
from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.model import Flag
from opsbook.flags.targeting.model import Constraint, Segment

_ALWAYS: Final = ("enabled", "rollout_percentage", "value_type", "rules", "variants", "prerequisites")
"""What every format says of a flag; the rest is taken where it was said."""
_WHERE_SAID: Final = ("description", "owner", "tags", "expires_at", "off_when_expired", "archived_at")
_NAMED_BY_GUARDED: Final = "the segment is as it was: a flag that asks for a second person names it"
_NEEDS_APPROVAL: Final = "is as it was: changing it needs a second person, who is asked where `--ask` says so"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A change that was left undone, since it needs a second person."""

    flag: str
    fields: Mapping[str, Any]
    revision: int
    """The flag's, at which the change is meant."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """What an import goes by: the revisions of what it names, 0 of what is not there."""

    flags: Mapping[str, int]
    segments: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Carried:
    """What an import does, or would do."""

    created: Sequence[str]
    changed: Mapping[str, Sequence[str]]
    """The fields that change, by flag."""
    unchanged: Sequence[str]
    segments: Sequence[str]
    """Those that are created or changed."""
    left_behind: Sequence[LeftBehind]
    guarded: Sequence[Guarded]
    """Of what is left behind, the changes that a second person may approve."""
    found: Revisions


async def carry_over(connection: Connection, bundle: Bundle, seen: Revisions | None = None) -> Carried:
    """Create and change what a bundle says; flags and segments that it does not name stay as they are.

    A kill switch is never taken back: what is killed here stays so, whatever a file remembers. What
    needs a second person here is left behind. With `seen`, what a plan found is what must be there still.

    Raises:
        Invalid: Flags need each other in a circle.
        Conflict: A flag or segment was changed since the plan.
    """
    # From here on nobody else writes: what is compared with is what is changed.
    await store.take_turn(connection)
    held = {flag.name: flag for flag in await store.list_flags(connection, archived=True)}
    known_segments = {row["name"]: row for row in await segment_store.list_segments(connection)}
    found = _found(bundle, held, known_segments)
    if seen is not None:
        _require_same(seen, found)
    fitting = fitted(bundle, held.keys(), known_segments.keys(), await _name_problems(connection, found))
    left = list(fitting.left_behind)
    segments = await _carry_segments(connection, fitting.segments, known_segments, left)
    created: list[str] = []
    changed: dict[str, Sequence[str]] = {}
    unchanged: list[str] = []
    guarded: list[Guarded] = []
    for flag in _parents_first(fitting.flags):
        before = held.get(flag.name)
        if before is None:
            await store.create_flag(connection, flag.name, {**_fields(flag), "kill_switch": flag.kill_switch})
            created.append(flag.name)
        elif not (difference := _difference(before, flag)):
            unchanged.append(flag.name)
        elif await _made(connection, store.change_flag(connection, flag.name, difference)):
            changed[flag.name] = [*difference]
        else:
            left.append(LeftBehind(flag.name, _NEEDS_APPROVAL))
            guarded.append(Guarded(flag.name, difference, before.revision))
    return Carried(created, changed, unchanged, segments, left, guarded, found)


def _found(bundle: Bundle, flags: Mapping[str, Flag], segments: Mapping[str, Mapping[str, Any]]) -> Revisions:
    return Revisions(
        {flag.name: flags[flag.name].revision if flag.name in flags else 0 for flag in bundle.flags},
        {each.name: segments[each.name]["revision"] if each.name in segments else 0 for each in bundle.segments},
    )


async def _name_problems(connection: Connection, found: Revisions) -> Mapping[str, str]:
    """Of what is not there yet: what has its name already keeps it."""
    new = [name for revisions in (found.flags, found.segments) for name, revision in revisions.items() if not revision]
    return await store.name_problems(connection, [name for name in new if is_name(name)])


def _require_same(seen: Revisions, found: Revisions) -> None:
    for kind, before, now in (("flag", seen.flags, found.flags), ("segment", seen.segments, found.segments)):
        changed = sorted(name for name in now if now[name] != before.get(name, 0))
        if changed:
            names = ", ".join(repr(name) for name in changed[:MOST_NAMED])
            raise Conflict(f"somebody changed {kind} {names} since the plan was shown; import again to see the new one")


async def _carry_segments(
    connection: Connection,
    segments: Iterable[Segment],
    known: Mapping[str, Mapping[str, Any]],
    left: list[LeftBehind],
) -> Sequence[str]:
    put: list[str] = []
    for segment in segments:
        if not _differs(segment, known.get(segment.name)):
            continue
        plain = msgspec.json.decode(msgspec.json.encode(segment.constraints))
        putting = segment_store.put_segment(connection, segment.name, plain, segment.description or None)
        if await _made(connection, putting):
            put.append(segment.name)
        else:
            left.append(LeftBehind(segment.name, _NAMED_BY_GUARDED))
    return put


async def _made(connection: Connection, change: Awaitable[object]) -> bool:
    """Make a change, or leave all as it is where the change needs a second person."""
    try:
        async with connection.transaction():
            await change
    except ApprovalNeeded:
        return False
    except psycopg.errors.CheckViolation as error:
        if error.diag.constraint_name != "requires_approval":
            raise
        return False
    return True


def _parents_first(flags: Sequence[Flag]) -> Iterable[Flag]:
    named = {flag.name: flag for flag in flags}
    needs = {flag.name: [each.flag for each in flag.prerequisites if each.flag in named] for flag in flags}
    try:
        return [named[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        raise Invalid(f"these flags need each other: {' → '.join(error.args[1])}") from error


def _fields(flag: Flag) -> dict[str, Any]:
    plain, default = _plain(flag), _plain(Flag(name=flag.name))
    said = [name for name in _WHERE_SAID if plain[name] != default[name]]
    return {name: plain[name] for name in (*_ALWAYS, *said)}


def _difference(before: Flag, flag: Flag) -> dict[str, Any]:
    plain = _plain(before)
    return {name: value for name, value in _fields(flag).items() if plain[name] != value}


def _plain(flag: Flag) -> dict[str, Any]:
    # As JSON has it, where a tuple is a list: so that two of the same content are equal.
    return msgspec.json.decode(msgspec.json.encode(flag))


def _differs(segment: Segment, held: Mapping[str, Any] | None) -> bool:
    if held is None:
        return True
    same = msgspec.convert(held["constraints"], list[Constraint], strict=False) == list(segment.constraints)
    return not same or bool(segment.description and segment.description != held["description"])
