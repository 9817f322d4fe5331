"""GrowthBook's features, as its SDK endpoint answers: force, rollout and experiment rules.

Source of the meaning: GrowthBook's documentation of building an SDK, with conditions in MongoDB's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from opsbook.core.errors import Invalid
from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.interchange.logic import ALWAYS, Condition, Unsayable, all_of, any_of, ask, is_there, negated
from opsbook.flags.interchange.outcomes import LIKE_ELSEWHERE_BUT_OTHERS, Branch, outcome
from opsbook.flags.model import Flag
from opsbook.flags.targeting.model import Scalar

_USERS: Final = ("id", "userId", "user_id")
"""What GrowthBook's users call the attribute that is our targeting key."""
_NUMBERS: Final = {
    "$gt": "number_above",
    "$gte": "number_at_least",
    "$lt": "number_below",
    "$lte": "number_at_most",
}
_TEXTS: Final = {
    "$regex": "matches",
    "$veq": "version_equals",
    "$vne": "version_equals",
    "$vgt": "version_above",
    "$vgte": "version_at_least",
    "$vlt": "version_below",
    "$vlte": "version_at_most",
}
_BEYOND: Final = {
    "parentConditions": "asks for another feature",
    "filters": "filters by ranges of buckets",
    "ranges": "gives ranges of buckets",
    "namespace": "excludes other experiments by a namespace",
}
_WHOLE: Final = 10_000


class _Rule(msgspec.Struct, rename="camel", omit_defaults=True):
    id: str = ""
    condition: dict[str, Any] = {}
    coverage: float = 1.0
    hash_attribute: str = "id"
    force: Any = msgspec.UNSET
    variations: list[Any] | None = None
    weights: list[float] | None = None
    key: str | None = None
    seed: str | None = None
    meta: list[dict[str, Any]] | None = None
    parent_conditions: Any = None
    filters: Any = None
    ranges: Any = None
    namespace: Any = None


class _Feature(msgspec.Struct, rename="camel"):
    default_value: Any = None
    rules: list[_Rule] | None = None


class _File(msgspec.Struct):
    features: dict[str, _Feature]


def read_growthbook(text: bytes) -> Bundle:
    """Flags of GrowthBook's features, as JSON.

    Raises:
        Invalid: It is not that.
    """
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"these are no features of GrowthBook: {error}") from error
    left: list[LeftBehind] = []
    return Bundle([_Reading(name, feature, left).flag() for name, feature in file.features.items()], (), left)


class _Reading:
    """One feature's import: its values get the names of variants as they come up."""

    def __init__(self, name: str, feature: _Feature, left: list[LeftBehind]) -> None:
        self._name = name
        self._feature = feature
        self._left = left
        self._values: dict[str, Any] = {}

    def flag(self) -> Flag:
        branches = [branch for rule in self._feature.rules or () for branch in self._branch(rule)]
        if any(branch.splits for branch in branches):
            self._leave(LIKE_ELSEWHERE_BUT_OTHERS)
        default = self._feature.default_value
        otherwise = None if default is None else Branch({self._called(default, "default"): 1})
        return Flag(name=self._name, enabled=True, **outcome(self._values, branches, otherwise).fields)

    def _branch(self, rule: _Rule) -> Sequence[Branch]:
        try:
            for field, what in _BEYOND.items():
                if msgspec.to_builtins(rule).get(field):
                    raise Unsayable(f"it {what}")
            condition = read_condition(rule.condition)
            weights = self._weights(rule)
        except Unsayable as unsayable:
            self._leave(
                f"rule {rule.id or rule.key or ''!r} is left out, its people get what comes after it: {unsayable}"
            )
            return ()
        stickiness = "default" if rule.hash_attribute in _USERS else rule.hash_attribute
        percentage = round(min(1.0, max(0.0, rule.coverage)) * 100, 2)
        return (Branch(weights, condition, percentage, stickiness, rule.seed or rule.key, rule.id),)

    def _weights(self, rule: _Rule) -> Mapping[str, int]:
        if rule.force is not msgspec.UNSET:
            return {self._called(rule.force, "forced"): 1}
        if not rule.variations:
            raise Unsayable("it is neither force, rollout nor experiment")
        given = rule.weights or [1 / len(rule.variations)] * len(rule.variations)
        if len(given) != len(rule.variations):
            raise Unsayable("its weights are not as many as its variations")
        found: dict[str, int] = {}
        for place, (value, weight) in enumerate(zip(rule.variations, given, strict=True)):
            meta = rule.meta[place] if rule.meta and place < len(rule.meta) else {}
            name = self._called(value, str(meta.get("name") or f"variation-{place}"))
            found[name] = found.get(name, 0) + round(weight * _WHOLE)
        return found

    def _called(self, value: Any, wanted: str) -> str:
        """A name of that value: `on` and `off` for a boolean, else the wanted one, made unique."""
        if isinstance(value, bool):
            wanted = "on" if value else "off"
        name, number = wanted, 2
        while name in self._values and self._values[name] != value:
            name, number = f"{wanted}-{number}", number + 1
        self._values[name] = value
        return name

    def _leave(self, what: str) -> None:
        self._left.append(LeftBehind(self._name, what))


def read_condition(given: Mapping[str, Any]) -> Condition:
    """A condition in MongoDB's words.

    Raises:
        Unsayable: It asks what a constraint cannot.
    """
    return all_of(_part(name, wanted) for name, wanted in given.items())


def _part(name: str, wanted: Any) -> Condition:
    match name, wanted:
        case "$and", [*parts]:
            return all_of(read_condition(part) for part in parts)
        case "$or", [*parts]:
            return any_of(read_condition(part) for part in parts) if parts else ALWAYS
        case "$nor", [*parts]:
            return negated(any_of(read_condition(part) for part in parts))
        case "$not", dict():
            return negated(read_condition(wanted))
        case _ if name.startswith("$") or "." in name:
            raise Unsayable(_shown(name, wanted))
        case _:
            return _asked("targetingKey" if name in _USERS else name, wanted)


def _asked(field: str, wanted: Any) -> Condition:
    match wanted:
        case None:
            return negated(is_there(field))
        case str() | int() | float():
            return ask(field, "in", wanted)
        case dict() if wanted and all(operator.startswith("$") for operator in wanted):
            return all_of(_operated(field, operator, value) for operator, value in wanted.items())
        case _:
            raise Unsayable(_shown(field, wanted))


def _operated(field: str, operator: str, value: Any) -> Condition:
    match operator, value:
        case ("$eq" | "$ne", None | str() | int() | float()):
            return _asked(field, value) if operator == "$eq" else negated(_asked(field, value))
        case ("$in" | "$nin", [*values]) if all(_is_scalar(each) for each in values):
            return ask(field, "in", *values, inverted=operator == "$nin")
        case _ if operator in _NUMBERS or operator in _TEXTS:
            return _compared(field, operator, value)
        case "$exists", bool():
            return is_there(field) if value else negated(is_there(field))
        case "$not", dict():
            return negated(_asked(field, value))
        case _:
            raise Unsayable(_shown(field, {operator: value}))


def _compared(field: str, operator: str, value: Any) -> Condition:
    if operator in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return ask(field, _NUMBERS[operator], value)
    if operator in _TEXTS and isinstance(value, str):
        return ask(field, _TEXTS[operator], value, inverted=operator == "$vne")
    raise Unsayable(_shown(field, {operator: value}))


def _is_scalar(value: object) -> bool:
    return isinstance(value, Scalar)


def _shown(name: str, wanted: object) -> str:
    return msgspec.json.encode({name: wanted}).decode()[:200]
