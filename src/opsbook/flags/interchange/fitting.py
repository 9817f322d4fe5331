"""Leaves behind what the database would refuse of a bundle, so that one odd flag does not hold up a thousand."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.model import NAME_PATTERN, Flag
from opsbook.flags.targeting.context import as_text
from opsbook.flags.targeting.model import Constraint, Rule, Segment
from opsbook.flags.targeting.operators import OPERATORS, BadValue

MOST_NAMED: Final = 5
"""How many names a sentence lists."""


def fitted(
    bundle: Bundle, flags: Collection[str], segments: Collection[str], name_problems: Mapping[str, str]
) -> Bundle:
    """What of a bundle can be here, beside the flags and segments that are; the rest is listed as left behind.

    Args:
        bundle: What is to be carried over.
        flags: Those that are here.
        segments: Those that are here.
        name_problems: Why some well-formed names cannot be here all the same.
    """
    return _Fitting(bundle, flags, segments, name_problems).fitted()


def is_name(name: str) -> bool:
    """Whether a name is well-formed."""
    return re.match(NAME_PATTERN, name) is not None


class _Fitting:
    """What was left behind so far, and the names that rules and prerequisites may use."""

    def __init__(
        self, bundle: Bundle, flags: Collection[str], segments: Collection[str], name_problems: Mapping[str, str]
    ) -> None:
        self._bundle = bundle
        self._left = list(bundle.left_behind)
        self._name_problems = name_problems
        self._flags = {*flags, *(flag.name for flag in bundle.flags if not self._name_refusal(flag.name))}
        self._segments = set(segments)

    def fitted(self) -> Bundle:
        segments = [each for each in self._bundle.segments if self._accepts_segment(each)]
        self._segments |= {each.name for each in segments}
        flags = {flag.name: self._flag(flag) for flag in self._bundle.flags if self._accepts(flag)}
        return Bundle([*flags.values()], segments, self._left)

    def _accepts(self, flag: Flag) -> bool:
        reason = self._name_refusal(flag.name)
        if reason:
            self._leave(flag.name, f"the flag is left out: {reason}")
        return not reason

    def _accepts_segment(self, segment: Segment) -> bool:
        reason = self._name_refusal(segment.name) or _refusal(segment.constraints)
        if reason:
            self._leave(segment.name, f"the segment is left out: {reason}")
        return not reason

    def _flag(self, flag: Flag) -> Flag:
        rules = [rule for rule in flag.rules if self._accepts_rule(flag, rule)]
        missing = [each.flag for each in flag.prerequisites if each.flag not in self._flags]
        if missing:
            self._leave(flag.name, f"is off: it needs {', '.join(missing[:MOST_NAMED])}, which does not exist")
        return msgspec.structs.replace(
            flag,
            rules=rules,
            enabled=flag.enabled and not missing,
            prerequisites=[each for each in flag.prerequisites if each.flag in self._flags],
        )

    def _accepts_rule(self, flag: Flag, rule: Rule) -> bool:
        missing = [name for name in rule.segments if name not in self._segments]
        reason = f"there is no segment {missing[0]!r}" if missing else _refusal(rule.constraints)
        if reason:
            self._leave(flag.name, f"{f'rule {rule.name!r}' if rule.name else 'a rule'} is left out: {reason}")
        return not reason

    def _name_refusal(self, name: str) -> str | None:
        return self._name_problems.get(name) if is_name(name) else "it cannot be called that here"

    def _leave(self, flag: str, what: str) -> None:
        self._left.append(LeftBehind(flag, what))


def _refusal(constraints: Iterable[Constraint]) -> str | None:
    """Why one of the constraints cannot be; None where all can."""
    for constraint in constraints:
        try:
            values = [text for value in constraint.values if (text := as_text(value)) is not None]
            OPERATORS[constraint.operator](values, constraint.case_insensitive)
        except KeyError:
            return f"there is no operator {constraint.operator!r}"
        except BadValue as bad:
            return f"{constraint.operator} {bad}"
    return None
