"""Unleash's feature state: what its server answers at `/api/client/features`, and its delta events.

Source of the meaning: Unleash's client specification. A strategy becomes a rule; a flag with
strategies is on for nobody else, one without is on for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from opsbook.core.errors import Invalid
from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.model import Flag
from opsbook.flags.targeting.model import Constraint, Override, Prerequisite, Rule, Segment, ValueType, Variant

OPERATORS: Final = {
    "IN": "in",
    "NOT_IN": "not_in",
    "STR_CONTAINS": "contains",
    "STR_STARTS_WITH": "starts_with",
    "STR_ENDS_WITH": "ends_with",
    "REGEX": "matches",
    "IN_CIDR": "in_network",
    "NUM_EQ": "number_equals",
    "NUM_GT": "number_above",
    "NUM_GTE": "number_at_least",
    "NUM_LT": "number_below",
    "NUM_LTE": "number_at_most",
    "SEMVER_EQ": "version_equals",
    "SEMVER_GT": "version_above",
    "SEMVER_GTE": "version_at_least",
    "SEMVER_LT": "version_below",
    "SEMVER_LTE": "version_at_most",
    "DATE_AFTER": "date_after",
    "DATE_BEFORE": "date_before",
}
"""Unleash's names of our operators."""
TAKE_ONE_VALUE: Final = frozenset(OPERATORS) - {
    "IN",
    "NOT_IN",
    "STR_CONTAINS",
    "STR_STARTS_WITH",
    "STR_ENDS_WITH",
    "IN_CIDR",
}
_NOBODY = Constraint(field="targetingKey", operator="in", values=())


class _Constraint(msgspec.Struct, rename="camel"):
    context_name: str
    operator: str
    value: str | int | float | None = None
    values: list[str | int | float] | None = None
    inverted: bool = False
    case_insensitive: bool = False


class _Payload(msgspec.Struct):
    type: str
    value: str


class _Override(msgspec.Struct, rename="camel"):
    context_name: str
    values: list[str | int | float] = []


class _Variant(msgspec.Struct):
    name: str
    weight: int = 0
    payload: _Payload | None = None
    overrides: list[_Override] | None = None
    stickiness: str | None = None


class _Strategy(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None
    constraints: list[_Constraint] | None = None
    segments: list[int] | None = None
    variants: list[_Variant] | None = None


class _Dependency(msgspec.Struct):
    feature: str
    enabled: bool = True
    variants: list[str] | None = None


class _Feature(msgspec.Struct):
    name: str
    enabled: bool
    description: str | None = None
    strategies: list[_Strategy] | None = None
    variants: list[_Variant] | None = None
    dependencies: list[_Dependency] | None = None


class _Segment(msgspec.Struct):
    id: int
    name: str = ""
    constraints: list[_Constraint] | None = None


class _State(msgspec.Struct):
    features: list[_Feature] = []
    segments: list[_Segment] | None = None
    events: list[dict[str, Any]] | None = None


def read_unleash(text: bytes) -> Bundle:
    """Flags and segments of Unleash's client features or delta, as JSON.

    Raises:
        Invalid: It is not that.
    """
    try:
        state = msgspec.json.decode(text, type=_State)
        if state.events is not None:
            state = _replayed(state.events)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Invalid(f"this is not Unleash's feature state: {error}") from error
    return _Reading(state).bundle()


class _Reading:
    """One import: the names of segments, and what is left behind on the way."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._segments = {each.id: each.name or f"segment-{each.id}" for each in state.segments or ()}
        self._dependent = {each.name for each in state.features if each.dependencies}
        self._left: list[LeftBehind] = []

    def bundle(self) -> Bundle:
        segments = [
            Segment(name=self._segments[each.id], constraints=self._constraints(each.name, each.constraints))
            for each in self._state.segments or ()
        ]
        flags = [self._flag(each) for each in self._state.features]
        return Bundle(flags, segments, self._left)

    def _flag(self, feature: _Feature) -> Flag:
        beyond = [each.feature for each in feature.dependencies or () if each.feature in self._dependent]
        for parent in beyond:
            self._leave(feature.name, f"depends on {parent}, which has dependencies itself: Unleash calls that off")
        value_type = self._value_type(feature)
        rules = [rule for each in feature.strategies or () for rule in self._rules(feature, value_type, each)]
        return Flag(
            name=feature.name,
            enabled=feature.enabled and not beyond,
            description=feature.description or "",
            rollout_percentage=0 if feature.strategies else 100,
            value_type=value_type,
            rules=rules,
            variants=[self._variant(value_type, each) for each in feature.variants or ()],
            prerequisites=[] if beyond else [_prerequisite(each) for each in feature.dependencies or ()],
        )

    def _rules(self, feature: _Feature, value_type: ValueType, strategy: _Strategy) -> Iterable[Rule]:
        parameters = strategy.parameters or {}
        constraints = self._constraints(feature.name, strategy.constraints)
        built_in = _built_in(strategy.name, parameters)
        if built_in is None:
            self._leave(feature.name, f"strategy {strategy.name!r} is one of your own: make a rule of it")
            return
        if parameters.get("stickiness") == "random" or strategy.name == "gradualRolloutRandom":
            self._leave(feature.name, "a random percentage: here it sticks to the targeting key")
        yield Rule(
            name=strategy.name,
            constraints=[*constraints, *built_in],
            segments=[self._segments.get(each, f"segment-{each}") for each in strategy.segments or ()],
            percentage=_percentage(parameters),
            stickiness=_stickiness(strategy.name, parameters),
            group=str(parameters.get("groupId") or feature.name),
            variants=[self._variant(value_type, each) for each in strategy.variants or ()],
        )

    def _constraints(self, flag: str, given: Sequence[_Constraint] | None) -> list[Constraint]:
        return [self._constraint(flag, each) for each in given or ()]

    def _constraint(self, flag: str, given: _Constraint) -> Constraint:
        operator = OPERATORS.get(given.operator)
        if operator is None:
            self._leave(flag, f"operator {given.operator} is unknown: the constraint admits nobody")
            return _NOBODY
        values = given.values or []
        return Constraint(
            field=given.context_name,
            operator=operator,
            values=[given.value] if given.operator in TAKE_ONE_VALUE and given.value is not None else values,
            inverted=given.inverted,
            case_insensitive=given.case_insensitive,
        )

    def _variant(self, value_type: ValueType, given: _Variant) -> Variant:
        return Variant(
            name=given.name,
            weight=given.weight,
            value=_value(value_type, given.payload),
            overrides=[Override(field=each.context_name, values=each.values) for each in given.overrides or ()],
            stickiness=given.stickiness,
        )

    def _value_type(self, feature: _Feature) -> ValueType:
        """What all payloads of a feature are; text, where they are not all of one type."""
        groups = [feature.variants, *(each.variants for each in feature.strategies or ())]
        payloads = [each.payload for group in groups for each in group or () if each.payload]
        kinds: set[ValueType] = {_kind(each) for each in payloads}
        if len(kinds) > 1:
            self._leave(feature.name, "its payloads are of several types, or not of the type they say; kept as text")
            return "string"
        return kinds.pop() if kinds else "boolean"

    def _leave(self, flag: str, what: str) -> None:
        self._left.append(LeftBehind(flag, what))


def _built_in(name: str, parameters: Mapping[str, Any]) -> list[Constraint] | None:
    """What a built-in strategy asks besides its constraints; None for a strategy that is not built in."""
    match name:
        case "default" | "flexibleRollout" | "gradualRolloutRandom":
            return []
        case "gradualRolloutUserId" | "gradualRolloutSessionId":
            # Off without the field even at 100 %; whatever starts with nothing is there.
            field = "userId" if name == "gradualRolloutUserId" else "sessionId"
            return [Constraint(field=field, operator="starts_with", values=[""])]
        case "userWithId":
            return [Constraint(field="userId", operator="in", values=_listed(parameters.get("userIds")))]
        case "remoteAddress":
            return [Constraint(field="remoteAddress", operator="in_network", values=_listed(parameters.get("IPs")))]
        case "applicationHostname":
            values = _listed(parameters.get("hostNames"))
            return [Constraint(field="hostname", operator="in", values=values, case_insensitive=True)]
        case _:
            return None


def _kind(payload: _Payload) -> ValueType:
    """The type that a payload says it is of, if it is; else text."""
    match payload.type, _decoded(payload.value):
        case "number", int() | float() as number if not isinstance(number, bool):
            return "number"
        case "json", dict() | list():
            return "object"
        case _:
            return "string"


def _value(value_type: ValueType, payload: _Payload | None) -> Any:
    if payload is None:
        return None
    return payload.value if value_type == "string" else _decoded(payload.value)


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _listed(text: object) -> list[str]:
    return [part.strip() for part in str(text or "").split(",") if part.strip()]


def _percentage(parameters: Mapping[str, Any]) -> float:
    given = parameters.get("rollout", parameters.get("percentage", 100))
    try:
        return min(100.0, max(0.0, float(given)))
    except (TypeError, ValueError):
        return 0.0


def _stickiness(name: str, parameters: Mapping[str, Any]) -> str:
    old = {"gradualRolloutUserId": "userId", "gradualRolloutSessionId": "sessionId"}
    given = str(parameters.get("stickiness") or old.get(name, "default"))
    return "default" if given == "random" else given


def _prerequisite(given: _Dependency) -> Prerequisite:
    # Unleash calls the variant of a flag without variants "disabled"; ours is "on".
    variants = ["on" if each == "disabled" else each for each in given.variants or ()]
    return Prerequisite(flag=given.feature, enabled=given.enabled, variants=variants)


def _replayed(events: Sequence[Mapping[str, Any]]) -> _State:
    """The state that a series of delta events leads to."""
    features: dict[str, Any] = {}
    segments: dict[int, Any] = {}
    for event in events:
        match event.get("type"):
            case "hydration":
                features = {each["name"]: each for each in event.get("features", ())}
                segments = {each["id"]: each for each in event.get("segments", ())}
            case "feature-updated":
                features[event["feature"]["name"]] = event["feature"]
            case "feature-removed":
                features.pop(event["featureName"], None)
            case "segment-updated":
                segments[event["segment"]["id"]] = event["segment"]
            case "segment-removed":
                segments.pop(event["segmentId"], None)
            case _:
                pass
    return msgspec.convert({"features": [*features.values()], "segments": [*segments.values()]}, _State)
