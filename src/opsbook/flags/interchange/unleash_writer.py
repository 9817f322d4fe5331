"""Writes flags as Unleash's feature state, so that an Unleash SDK decides as the kit does.

What Unleash has no words for is listed, and always errs towards off: a rule that cannot be said is
left out, a percentage between two whole ones is the lower. Two things stay different and are not
listed, as they come from the context and not from the flag: an SDK picks among the variants of a
flag at random where the context has neither `userId` nor `sessionId`, and reads numbers and
versions a little less strictly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.interchange.logic import Unsayable
from opsbook.flags.interchange.unleash import OPERATORS, TAKE_ONE_VALUE
from opsbook.flags.model import Flag
from opsbook.flags.targeting.compiled import CURRENT_TIME
from opsbook.flags.targeting.context import SESSION_ID, TARGETING_KEY, USER_ID, as_text
from opsbook.flags.targeting.model import Constraint, Prerequisite, Rule, Segment, Variant
from opsbook.flags.targeting.operators import instant

FEATURE_VERSION: Final = 2
"""Of the format: with segments beside the features."""

_NAMES: Final = {ours: theirs for theirs, ours in OPERATORS.items()}
_HEEDS_CASE: Final = frozenset({"STR_CONTAINS", "STR_STARTS_WITH", "STR_ENDS_WITH", "REGEX"})
_EVERYBODY: Final = 100.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class UnleashState:
    """Unleash's feature state, and what of ours it does not say."""

    body: Json
    left_behind: Sequence[LeftBehind]


def write_unleash(bundle: Bundle, *, inline_segments: bool = False) -> UnleashState:
    """The feature state that SDKs fetch; with `inline_segments` for those too old to know segments."""
    return _Writing(bundle, inline_segments).state()


class _Writing:
    """One export: the numbers of segments, and what is left behind on the way."""

    def __init__(self, bundle: Bundle, inline_segments: bool) -> None:
        self._bundle = bundle
        self._inline = inline_segments
        self._flags = {flag.name: flag for flag in bundle.flags}
        self._segments: dict[str, list[Json] | Unsayable] = {}
        self._numbers = {segment.name: number for number, segment in enumerate(bundle.segments, 1)}
        self._left: list[LeftBehind] = []

    def state(self) -> UnleashState:
        self._segments = {segment.name: _said_of(segment) for segment in self._bundle.segments}
        features = [self._feature(flag) for flag in self._bundle.flags]
        segments = [
            {"id": self._numbers[name], "name": name, "constraints": constraints}
            for name, constraints in self._segments.items()
            if not isinstance(constraints, Unsayable) and not self._inline
        ]
        return UnleashState({"version": FEATURE_VERSION, "features": features, "segments": segments}, self._left)

    def _feature(self, flag: Flag) -> Json:
        strategies = [each for rule in _arms(flag) for each in self._strategies(flag, rule)]
        dependencies = [self._dependency(flag, each) for each in flag.prerequisites]
        sayable = None not in dependencies
        return {
            "name": flag.name,
            "type": "release",
            "description": flag.description,
            "project": "default",
            "stale": False,
            "impressionData": False,
            # A feature without strategies is on for everybody in Unleash; ours without rules is on for nobody.
            "enabled": not _is_off(flag) and sayable and bool(strategies),
            "strategies": strategies,
            "variants": self._variants(flag, flag.variants, "default"),
            "dependencies": dependencies if sayable else [],
        }

    def _strategies(self, flag: Flag, rule: Rule) -> Iterable[Json]:
        try:
            constraints = [*_expiry(flag), *map(_constraint, rule.constraints)]
            numbers = self._named(rule.segments, constraints)
            _refuse_false(rule.variants or flag.variants)
        except Unsayable as unsayable:
            self._leave(flag, f"{_called(rule)} is left out: {unsayable}")
            return
        percentage = int(rule.percentage)
        if percentage != rule.percentage:
            self._leave(flag, f"{_called(rule)}: {rule.percentage:g} % is {percentage} % there")
        if rule.variants and rule.percentage < _EVERYBODY and _dealt_by(rule) != rule.stickiness:
            self._leave(flag, f"{_called(rule)}: some SDKs deal its variants by {rule.stickiness!r}, as its percentage")
        group = rule.group or flag.name
        for stickiness, asked in _sticky(rule):
            yield {
                "name": "flexibleRollout",
                "title": rule.name,
                "parameters": {"rollout": str(percentage), "stickiness": stickiness, "groupId": group},
                "constraints": [*constraints, *asked],
                "segments": numbers,
                "variants": self._variants(flag, rule.variants, rule.stickiness),
            }

    def _named(self, names: Sequence[str], constraints: list[Json]) -> list[int]:
        """The numbers of segments; where they go inline, their constraints join the rule's instead."""
        for name in names:
            said = self._segments.get(name, Unsayable(f"there is no segment {name!r}"))
            if isinstance(said, Unsayable):
                raise said
            if self._inline:
                constraints.extend(said)
        return [] if self._inline else [self._numbers[name] for name in names]

    def _variants(self, flag: Flag, variants: Sequence[Variant], stickiness: str) -> list[Json]:
        sticky = (variants[0].stickiness if variants else None) or stickiness
        return [
            {
                "name": each.name,
                "weight": each.weight,
                "weightType": "variable",
                "stickiness": _field(sticky),
                **_payload(flag, each),
                "overrides": [
                    {"contextName": _field(override.field), "values": _texts(override.values)}
                    for override in each.overrides
                ],
            }
            for each in variants
        ]

    def _dependency(self, flag: Flag, wanted: Prerequisite) -> Json | None:
        parent = self._flags.get(wanted.flag)
        if parent is None or parent.prerequisites:
            why = "does not exist" if parent is None else "has prerequisites itself"
            self._leave(flag, f"is off there: it needs {wanted.flag}, which {why}")
            return None
        # Unleash calls the variant of a feature without variants "disabled"; ours is "on".
        variants = ["disabled" if each == "on" else each for each in wanted.variants]
        return {"feature": wanted.flag, "enabled": wanted.enabled, **({"variants": variants} if variants else {})}

    def _leave(self, flag: Flag, what: str) -> None:
        self._left.append(LeftBehind(flag.name, what))


def _is_off(flag: Flag) -> bool:
    expired = flag.off_when_expired and flag.expires_at is not None and flag.expires_at <= datetime.now(UTC)
    return flag.kill_switch or flag.archived_at is not None or not flag.enabled or expired


def _arms(flag: Flag) -> Iterable[Rule]:
    rollout = Rule(name="rollout", percentage=flag.rollout_percentage)
    return (rule for rule in (*flag.rules, rollout) if rule.percentage > 0)


def _called(rule: Rule) -> str:
    return f"rule {rule.name!r}" if rule.name else "a rule"


def _sticky(rule: Rule) -> Iterable[tuple[str, Sequence[Json]]]:
    """What a strategy sticks to, once or in two strategies, with what the context must be for each.

    Unleash turns those away who lack the field, even at 100 %, where ours lets everybody in; its
    default rolls dice for a context with neither key, where ours is off.
    """
    if rule.percentage >= _EVERYBODY:
        dealt = _dealt_by(rule)
        if dealt != "default":
            yield _field(dealt), ()
        yield "default", () if dealt == "default" else [_lacks(_field(dealt))]
    elif rule.stickiness == "default":
        yield USER_ID, ()
        yield SESSION_ID, [_lacks(USER_ID)]
    else:
        yield _field(rule.stickiness), ()


def _dealt_by(rule: Rule) -> str:
    """The field by which a rule deals its own variants."""
    return rule.variants[0].stickiness or rule.stickiness if rule.variants else "default"


def _lacks(field: str) -> Json:
    return {"contextName": field, "operator": "REGEX", "value": "(?s).", "values": [], "inverted": True}


def _said_of(segment: Segment) -> list[Json] | Unsayable:
    try:
        return [_constraint(each) for each in segment.constraints]
    except Unsayable as unsayable:
        return Unsayable(f"segment {segment.name!r}: {unsayable}")


def _constraint(given: Constraint) -> Json:
    operator = _NAMES.get(given.operator)
    values = _texts(given.values)
    if operator is None:
        raise Unsayable(f"the operator {given.operator!r}")
    if operator.startswith("DATE_") and given.field != CURRENT_TIME:
        raise Unsayable(f"a date in {given.field!r}: some SDKs compare the present moment alone")
    if operator.startswith("DATE_"):
        values = [_moment(datetime.fromtimestamp(seconds, UTC)) for value in values if (seconds := instant(value))]
    inverted = given.inverted
    if operator in ("IN", "NOT_IN") and given.case_insensitive:
        # Unleash compares these to the letter; a pattern does not have to.
        inverted = inverted != (operator == "NOT_IN")
        operator, values = "REGEX", ["^(?:" + "|".join(re.escape(value) for value in values) + ")$"]
    one = operator in TAKE_ONE_VALUE
    return {
        "contextName": _field(given.field),
        "operator": operator,
        "values": [] if one else values,
        **({"value": values[0]} if one and values else {}),
        "inverted": inverted,
        "caseInsensitive": given.case_insensitive and operator in _HEEDS_CASE,
    }


def _expiry(flag: Flag) -> Iterable[Json]:
    if flag.off_when_expired and flag.expires_at is not None:
        moment = _moment(flag.expires_at)
        yield {"contextName": CURRENT_TIME, "operator": "DATE_BEFORE", "value": moment, "values": [], "inverted": False}


def _moment(moment: datetime) -> str:
    # Milliseconds at most: with microseconds some SDKs take it for no date at all.
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _field(name: str) -> str:
    return USER_ID if name == TARGETING_KEY else name


def _texts(values: Sequence[object]) -> list[str]:
    return [text for value in values if (text := as_text(value)) is not None]


def _refuse_false(variants: Sequence[Variant]) -> None:
    if any(each.value is False for each in variants):
        raise Unsayable("a variant whose value is false")


def _payload(flag: Flag, variant: Variant) -> Mapping[str, Json]:
    if variant.value is None or flag.value_type == "boolean":
        return {}
    kind = {"string": "string", "number": "number"}.get(flag.value_type, "json")
    text = variant.value if isinstance(variant.value, str) else msgspec.json.encode(variant.value).decode()
    return {"payload": {"type": kind, "value": text}}
