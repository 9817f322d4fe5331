"""Conditions with and, or and not, turned into what rules can say: any of some lists of constraints."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Final, TypeAlias

import msgspec

from opsbook.flags.targeting.model import Constraint, Scalar

Condition: TypeAlias = tuple[tuple[Constraint, ...], ...]
"""Holds where all constraints of any one list do."""

ALWAYS: Final[Condition] = ((),)
NEVER: Final[Condition] = ()
_MOST_ALTERNATIVES: Final = 100
"""Negating and combining can multiply; each alternative becomes a rule."""


class Unsayable(Exception):
    """The other side has no words for this; the message says for what."""


def ask(field: str, operator: str, *values: Scalar, inverted: bool = False) -> Condition:
    """One constraint."""
    return ((Constraint(field=field, operator=operator, values=values, inverted=inverted),),)


def is_there(field: str) -> Condition:
    """Whether the context has the field; whatever is there starts with nothing."""
    return ask(field, "starts_with", "")


def any_of(conditions: Iterable[Condition]) -> Condition:
    """At least one holds.

    Raises:
        Unsayable: It would take too many rules.
    """
    return _bounded(each for condition in conditions for each in condition)


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Each of them holds.

    Raises:
        Unsayable: It would take too many rules.
    """
    found = ALWAYS
    for condition in conditions:
        found = _bounded((*left, *right) for left, right in product(found, condition))
    return found


def negated(condition: Condition) -> Condition:
    """It does not hold: in each list, some constraint does not.

    Raises:
        Unsayable: It would take too many rules.
    """
    return all_of(tuple((_opposite(each),) for each in conjunction) for conjunction in condition)


def _opposite(constraint: Constraint) -> Constraint:
    return msgspec.structs.replace(constraint, inverted=not constraint.inverted)


def _bounded(alternatives: Iterable[tuple[Constraint, ...]]) -> Condition:
    found: list[tuple[Constraint, ...]] = []
    for each in alternatives:
        if len(found) >= _MOST_ALTERNATIVES:
            raise Unsayable(f"a condition that takes more than {_MOST_ALTERNATIVES} rules")
        found.append(each)
    return tuple(found)
