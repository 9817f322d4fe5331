"""The parts of a flag that say whom it is for: constraints, segments, rules, variants, prerequisites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

Scalar = str | int | float | bool


class Constraint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a field of the context must be."""

    field: str
    operator: str
    """A name of `operators.OPERATORS`; an unknown one, of a newer version, admits nobody."""
    values: Sequence[Scalar] = ()
    inverted: bool = False
    case_insensitive: bool = False


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Constraints under a name, shared between flags; all of them must hold."""

    name: str
    description: str = ""
    constraints: Sequence[Constraint] = ()
    revision: int = 0


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """Contexts that get a variant whatever their bucket."""

    field: str
    values: Sequence[Scalar]


class Variant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the values that a flag may have."""

    name: str
    weight: int = 1
    """Its share is its weight of the sum of all."""
    value: Any = None
    """What the flag is for whom it is chosen; of the flag's value type. None stands for `true`."""
    overrides: Sequence[Override] = ()
    stickiness: str | None = None
    """The field whose value decides; the first variant's counts, else that of the rule."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom the flag is on for: all constraints hold, all segments hold, and the bucket is inside."""

    name: str = ""
    constraints: Sequence[Constraint] = ()
    segments: Sequence[str] = ()
    percentage: float = 100.0
    stickiness: str = "default"
    """The field that decides the bucket; `default` is the targeting key, else the session."""
    group: str | None = None
    """Hashed together with the field; the flag's name unless given."""
    variants: Sequence[Variant] = ()
    """Instead of the flag's own, where there are any."""


class Prerequisite(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What another flag must be for the same context."""

    flag: str
    enabled: bool = True
    variants: Sequence[str] = ()
    """It must be one of these; any will do where there are none."""


ValueType = Literal["boolean", "string", "number", "object"]
