"""A feature flag as it is stored, and as it travels between processes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from opsbook.core.log import get_logger
from opsbook.flags.targeting.model import Constraint, Prerequisite, Rule, Segment, ValueType, Variant

log = get_logger(__name__)

_UNFIT = r"\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000/?#%\\"
"""Control characters, blanks (Unicode's White_Space) and what breaks a path; spelt out, for `\\s` differs between
Python, JSON Schema and Postgres, whose table has the same list."""

NAME_PATTERN = rf"^[^{_UNFIT}.][^{_UNFIT}]{{0,199}}$"
"""What a flag may be called: any script's letters and symbols, nothing that breaks a path or cannot be seen."""

_UNREADABLE = Constraint(field="", operator="unreadable")
"""No operator at all: it admits nobody."""


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """One flag. Unknown fields are ignored, so that an older process understands a newer one."""

    name: str
    enabled: bool = False
    """The switch of ordinary days."""
    kill_switch: bool = False
    """Beats everything: off for everybody while it is on."""
    rollout_percentage: float = 100.0
    """How many of a hundred targeting keys are in, in steps of 0.01."""
    description: str = ""
    owner: str | None = None
    tags: Sequence[str] = ()
    value_type: ValueType = "boolean"
    rules: Sequence[Rule] = ()
    """Whom it is on for besides those inside the rollout percentage; any one suffices."""
    variants: Sequence[Variant] = ()
    prerequisites: Sequence[Prerequisite] = ()
    expires_at: datetime | None = None
    off_when_expired: bool = False
    """Whether it turns itself off then; otherwise the date is only a reminder."""
    requires_approval: bool = False
    """Whether a change waits for a second person; killing and switching off never do."""
    revision: int = 0
    """Rises with every change to any flag, in the order of commits."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def state(self) -> str:
        """In one word for people: killed, archived, off, partial or on."""
        if self.kill_switch:
            return "killed"
        if self.archived_at is not None:
            return "archived"
        if not self.enabled or (self.rollout_percentage <= 0 and not self.rules):
            return "off"
        return "on" if self.rollout_percentage >= 100 and not self.prerequisites else "partial"


def flag_from(row: Any) -> Flag:
    """A flag from a database row or decoded JSON; one whose rules cannot be read is off for everybody.

    Raises:
        msgspec.ValidationError: It is no flag.
    """
    try:
        return msgspec.convert(row, Flag, strict=False)
    except msgspec.ValidationError:
        # Of a newer version, perhaps: one unreadable flag must not hold up all the others.
        plain = {name: value for name, value in row.items() if name not in ("rules", "variants", "prerequisites")}
        return msgspec.structs.replace(msgspec.convert(plain, Flag, strict=False), enabled=False)


def flag_decoded(name: str, state: str | msgspec.Raw) -> Flag:
    """A flag from the text of its state; whatever is wrong with it, it is off and the others stay."""
    try:
        return msgspec.json.decode(state, type=Flag, strict=False)
    except (msgspec.DecodeError, RecursionError, ValueError):
        log.warning("flag_unreadable", name=name)
        return Flag(name=name, **_readable_rest(state))


def segment_from(row: Any) -> Segment:
    """A segment from a database row or decoded JSON.

    Raises:
        msgspec.ValidationError: It is no segment.
    """
    return msgspec.convert(row, Segment, strict=False)


def segment_decoded(name: str, state: str | msgspec.Raw) -> Segment:
    """A segment from the text of its state; one that cannot be read admits nobody."""
    try:
        return msgspec.json.decode(state, type=Segment, strict=False)
    except (msgspec.DecodeError, RecursionError, ValueError):
        log.warning("segment_unreadable", name=name)
        return Segment(name=name, constraints=[_UNREADABLE])


class _Rest(msgspec.Struct):
    """What still matters of a flag that is off."""

    value_type: ValueType = "boolean"
    revision: int = 0


def _readable_rest(state: str | msgspec.Raw) -> dict[str, Any]:
    try:
        return msgspec.structs.asdict(msgspec.json.decode(state, type=_Rest, strict=False))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return {}
