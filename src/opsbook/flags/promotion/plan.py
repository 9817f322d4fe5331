"""What a promotion would do: the definitions of flags, with the segments that they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from opsbook.core.errors import Conflict, NotFound
from opsbook.flags.difference import Difference, flag_differences

State: TypeAlias = Mapping[str, Any]
"""A flag or a segment as its row has it."""

_DEFINITION = (
    *("description", "owner", "tags", "value_type", "rules", "variants", "prerequisites"),
    *("expires_at", "off_when_expired"),
)
_SWITCHES = ("enabled", "kill_switch", "rollout_percentage")
"""What each environment decides for itself."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The flags and segments of one ops database."""

    place: str
    """Where it is, for people: host, port and database."""
    flags: Mapping[str, State]
    segments: Mapping[str, State]


@dataclass(frozen=True, slots=True)
class Step:
    """One flag or segment to create or change in the target."""

    kind: str
    """`flag` or `segment`."""
    name: str
    fields: State
    held_revision: int | None
    """The target's, to be found unchanged; None where it has none of that name."""
    differences: Sequence[Difference]
    needs_approval: bool
    """Whether the target asks for a second person, so that it is left as it is; of a segment, a flag that names it."""


def between(here: Environment, there: Environment) -> Mapping[str, Sequence[Difference]]:
    """What differs from here to there, by flag; every field counts, and what one of them lacks."""
    found = {
        name: flag_differences(here.flags.get(name), there.flags.get(name))
        for name in sorted(here.flags.keys() | there.flags.keys())
    }
    return {name: differences for name, differences in found.items() if differences}


def promotion(source: Environment, target: Environment, names: Sequence[str], *, switches: bool) -> Sequence[Step]:
    """The steps that bring the target's definitions of some flags to those of the source, in their order.

    A kill is carried across with the switches, but never taken back.

    Raises:
        NotFound: The source has no flag of that name.
        Conflict: A flag needs another that the target lacks and that is not among the names.
    """
    for name in names:
        if name not in source.flags:
            raise NotFound(f"there is no flag {name!r} in {source.place}")
    ordered = _prerequisites_first(source, target, names)
    segments = sorted({segment for name in ordered for segment in _segments(source.flags[name])})
    steps = [_segment(source, target, name) for name in segments]
    steps += [_flag(source.flags[name], target.flags.get(name), switches=switches) for name in ordered]
    return [step for step in steps if step.differences]


def _prerequisites_first(source: Environment, target: Environment, names: Sequence[str]) -> Sequence[str]:
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        for needed in [each["flag"] for each in source.flags[name]["prerequisites"]]:
            if needed in names and needed not in ordered:
                visit(needed)
            elif needed not in names and needed not in target.flags:
                raise Conflict(f"{name!r} needs {needed!r}, which {target.place} lacks: promote it as well")
        ordered[name] = None

    for name in names:
        visit(name)
    return list(ordered)


def _segments(flag: State) -> Iterable[str]:
    return (segment for rule in flag["rules"] for segment in rule.get("segments", ()))


def _flag(wanted: State, held: State | None, *, switches: bool) -> Step:
    carried = _DEFINITION + (_SWITCHES if switches else () if held else ("rollout_percentage",))
    fields = {field: wanted[field] for field in carried}
    if held and held["kill_switch"] and switches:
        fields["kill_switch"] = True
    differences = flag_differences(held, {**(held or {"name": wanted["name"], "enabled": False}), **fields})
    needs_approval = held is not None and held["requires_approval"] and not _only_makes_safer(held, fields)
    return Step("flag", wanted["name"], fields, held["revision"] if held else None, differences, needs_approval)


def _only_makes_safer(held: State, fields: State) -> bool:
    """Whether what changes is that it is killed or switched off, which never waits for a second person."""
    changed = [(field, value) for field, value in fields.items() if held[field] != value]
    return all(change in (("kill_switch", True), ("enabled", False)) for change in changed)


def _segment(source: Environment, target: Environment, name: str) -> Step:
    wanted, held = source.segments[name], target.segments.get(name)
    fields = {field: wanted[field] for field in ("description", "constraints")}
    differences = [
        Difference(field, str(held[field]) if held else None, str(value))
        for field, value in fields.items()
        if held is None or held[field] != value
    ]
    guarded = (flag for flag in target.flags.values() if flag["requires_approval"])
    opens = held is not None and held["constraints"] != wanted["constraints"]
    needs_approval = opens and any(name in _segments(flag) for flag in guarded)
    return Step("segment", name, fields, held["revision"] if held else None, differences, needs_approval)
