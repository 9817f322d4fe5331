"""Writes flags as a flagd definition; what JsonLogic and flagd have no words for is listed, and errs towards off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.interchange.logic import Unsayable
from opsbook.flags.interchange.outcomes import LIKE_ELSEWHERE_BUT_OTHERS
from opsbook.flags.model import Flag
from opsbook.flags.targeting.compiled import CURRENT_TIME
from opsbook.flags.targeting.context import TARGETING_KEY, USER_ID, as_text
from opsbook.flags.targeting.model import Constraint, Rule, Segment, Variant
from opsbook.flags.targeting.operators import instant, number

_COMPARED: Final = {
    "number_equals": "==",
    "number_above": ">",
    "number_at_least": ">=",
    "number_below": "<",
    "number_at_most": "<=",
}
_VERSIONS: Final = {
    "version_equals": "=",
    "version_above": ">",
    "version_at_least": ">=",
    "version_below": "<",
    "version_at_most": "<=",
}
_DATES: Final = {"date_after": ">", "date_before": "<"}
_EVERYBODY: Final = 100.0
_HUNDREDTHS: Final = 100

Json = dict[str, Any]


def write_flagd(bundle: Bundle) -> tuple[bytes, Sequence[LeftBehind]]:
    """The definition as JSON, and what of ours it does not say."""
    segments = {segment.name: segment for segment in bundle.segments}
    left: list[LeftBehind] = []
    flags = {flag.name: _Writing(flag, segments, left).definition() for flag in bundle.flags}
    return msgspec.json.encode({"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": flags}), left


class _Writing:
    """One flag's export."""

    def __init__(self, flag: Flag, segments: Mapping[str, Segment], left: list[LeftBehind]) -> None:
        self._flag = flag
        self._segments = segments
        self._left = left
        self._variants: Json = {"on": True, "off": False} if flag.value_type == "boolean" else {}

    def definition(self) -> Json:
        flag = self._flag
        off = flag.kill_switch or flag.archived_at is not None or not flag.enabled
        if flag.prerequisites:
            self._leave("is off there: it needs other flags")
        rollout = Rule(percentage=flag.rollout_percentage)
        rules = [rule for rule in (*flag.rules, rollout) if rule.percentage > 0]
        steps = [step for rule in rules if (step := self._step(rule))]
        if any(rule.percentage < _EVERYBODY or len(rule.variants or flag.variants) > 1 for rule in rules):
            self._leave(LIKE_ELSEWHERE_BUT_OTHERS)
        outside = "off" if flag.value_type == "boolean" else None
        return {
            "state": "DISABLED" if off or flag.prerequisites else "ENABLED",
            "variants": self._variants,
            "defaultVariant": outside,
            **({"targeting": self._chain(steps, outside)} if steps else {}),
            "metadata": {"description": flag.description},
        }

    def _chain(self, steps: Sequence[tuple[Any, Any]], outside: str | None) -> Json:
        expiry = [self._before_expiry()] if self._flag.off_when_expired and self._flag.expires_at else []
        parts = [
            part for asked, given in steps for part in ({"and": [*expiry, *asked]} if expiry or asked else True, given)
        ]
        return {"if": [*parts, outside]}

    def _before_expiry(self) -> Json:
        assert self._flag.expires_at is not None
        return {"<": [{"var": "$flagd.timestamp"}, int(self._flag.expires_at.timestamp())]}

    def _step(self, rule: Rule) -> tuple[list[Json], Any] | None:
        """What a rule asks, and what it gives; a percentage is a question of its own."""
        try:
            asked = [_logic(each) for each in rule.constraints]
            for name in rule.segments:
                if name not in self._segments:
                    raise Unsayable(f"there is no segment {name!r}")
                asked += map(_logic, self._segments[name].constraints)
            given = self._given(rule)
        except Unsayable as unsayable:
            self._leave(f"rule {rule.name!r} is left out: {unsayable}")
            return None
        if rule.percentage < _EVERYBODY:
            part = round(rule.percentage * _HUNDREDTHS)
            shares = [[True, part], [False, int(_EVERYBODY) * _HUNDREDTHS - part]]
            asked.append({"fractional": [_sticky(rule.stickiness, rule.group or self._flag.name), *shares]})
        return asked, given

    def _given(self, rule: Rule) -> Any:
        variants = [each for each in rule.variants or self._flag.variants if each.weight > 0]
        if any(each.overrides for each in rule.variants or self._flag.variants):
            raise Unsayable("variants with overrides")
        if not variants:
            if self._flag.value_type != "boolean":
                raise Unsayable("it gives no value")
            return "on"
        names = [self._named(each) for each in variants]
        if len(names) == 1:
            return names[0]
        own = bool(rule.variants)
        stickiness = variants[0].stickiness or (rule.stickiness if own else "default")
        group = f"{(rule.group if own else None) or self._flag.name}-variants"
        return {
            "fractional": [_sticky(stickiness, group), *([n, v.weight] for n, v in zip(names, variants, strict=True))]
        }

    def _named(self, variant: Variant) -> str:
        """The variant's name there, unique for its value."""
        value = True if variant.value is None and self._flag.value_type == "boolean" else variant.value
        if value is None:
            raise Unsayable(f"the variant {variant.name!r} has no value")
        name, place = variant.name, 2
        while name in self._variants and self._variants[name] != value:
            name, place = f"{variant.name}-{place}", place + 1
        self._variants[name] = value
        return name

    def _leave(self, what: str) -> None:
        self._left.append(LeftBehind(self._flag.name, what))


def _logic(given: Constraint) -> Json:
    if given.case_insensitive:
        raise Unsayable(f"{given.operator} whatever the case")
    asked = _asked(
        given, {"var": _field(given.field)}, [text for each in given.values if (text := as_text(each)) is not None]
    )
    return {"!": [asked]} if given.inverted != (given.operator == "not_in") else asked


def _asked(given: Constraint, field: Json, texts: Sequence[str]) -> Json:
    match given.operator:
        case "in" | "not_in":
            # A context may hold a number as a number or as its text.
            return {
                "in": [field, [*dict.fromkeys((*texts, *(each for each in given.values if not isinstance(each, str))))]]
            }
        case "contains":
            return {"or": [{"in": [text, field]} for text in texts] or [False]}
        case "starts_with" | "ends_with":
            return {"or": [{given.operator: [field, text]} for text in texts] or [False]}
        case operator if operator in _COMPARED and texts and (limit := number(texts[0])) is not None:
            # Without the field JsonLogic would compare with zero.
            return {"and": [{"!=": [field, None]}, {_COMPARED[operator]: [field, limit]}]}
        case operator if operator in _VERSIONS and texts:
            return {"sem_ver": [field, _VERSIONS[operator], texts[0]]}
        case operator if operator in _DATES and given.field == CURRENT_TIME and texts:
            return {_DATES[operator]: [{"var": "$flagd.timestamp"}, int(instant(texts[0]) or 0)]}
        case operator:
            raise Unsayable(f"{operator} {', '.join(texts)[:100]}")


def _sticky(stickiness: str, group: str) -> Json:
    return {"cat": [group, {"var": TARGETING_KEY if stickiness == "default" else _field(stickiness)}]}


def _field(name: str) -> str:
    if "." in name:
        raise Unsayable(f"the field {name!r}, whose point is a path there")
    return TARGETING_KEY if name == USER_ID else name
