"""Turns constraints and segments into tests of a context, once, so that evaluating is only calling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from opsbook.flags.targeting.context import Context, Reader, as_text, field_reader
from opsbook.flags.targeting.model import Constraint, Segment
from opsbook.flags.targeting.operators import OPERATORS

Predicate = Callable[[Context], bool]
Clock = Callable[[], float]
"""Seconds since 1970."""

CURRENT_TIME = "currentTime"
"""The field that is the present moment where the context does not say otherwise."""


def constraint_predicate(constraint: Constraint, clock: Clock) -> Predicate:
    """A test of one constraint; `clock` gives the present moment for a context that names none.

    A field that is missing satisfies no operator but `not_in`; `inverted` turns the answer of a
    field that is there, and of one that is missing too, as Unleash's clients have it.
    """
    read = field_reader(constraint.field)
    if constraint.field == CURRENT_TIME:
        read = _or_now(read, clock)
    inverted = constraint.inverted != (constraint.operator == "not_in")
    try:
        values = [text for value in constraint.values if (text := as_text(value)) is not None]
        test = OPERATORS[constraint.operator](values, constraint.case_insensitive)
    except (KeyError, ValueError):
        # Of a newer version, or written past every check: it admits nobody, inverted or not.
        return _nobody

    def holds(context: Context) -> bool:
        text = read(context)
        return (text is not None and test(text)) != inverted

    return holds


def rule_predicate(
    constraints: Sequence[Constraint], segments: Sequence[str], known: Mapping[str, Segment], clock: Clock
) -> Predicate | None:
    """A test of all constraints of a rule and its segments; None where there is nothing to test."""
    predicates = [constraint_predicate(each, clock) for each in constraints]
    for name in segments:
        segment = known.get(name)
        if segment is None:
            return _nobody
        predicates.extend(constraint_predicate(each, clock) for each in segment.constraints)
    match predicates:
        case []:
            return None
        case [single]:
            return single
        case _:
            return lambda context: all(predicate(context) for predicate in predicates)


def _or_now(read: Reader, clock: Clock) -> Reader:
    def read_or_tell(context: Context) -> str | None:
        text = read(context)
        return datetime.fromtimestamp(clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if text is None else text

    return read_or_tell


def _nobody(_: Context) -> bool:
    return False
