"""LaunchDarkly's flags: what its REST API answers (`/api/v2/flags/PROJECT?summary=0`), or the data of an SDK.

Source of the meaning: LaunchDarkly's documentation of its REST API and of the file data source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from opsbook.core.errors import Invalid
from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.interchange.logic import Condition, Unsayable, all_of, any_of, ask, is_there, negated
from opsbook.flags.interchange.outcomes import LIKE_ELSEWHERE_BUT_OTHERS, Branch, outcome
from opsbook.flags.model import Flag
from opsbook.flags.targeting.model import Prerequisite, Scalar

_OPERATORS: Final = {
    "in": "in",
    "endsWith": "ends_with",
    "startsWith": "starts_with",
    "contains": "contains",
    "matches": "matches",
    "lessThan": "number_below",
    "lessThanOrEqual": "number_at_most",
    "greaterThan": "number_above",
    "greaterThanOrEqual": "number_at_least",
    "before": "date_before",
    "after": "date_after",
    "semVerEqual": "version_equals",
    "semVerLessThan": "version_below",
    "semVerGreaterThan": "version_above",
}
_TAKE_MANY: Final = frozenset({"in", "ends_with", "starts_with", "contains"})


class _Clause(msgspec.Struct, rename="camel"):
    op: str
    values: list[Any]
    attribute: str = ""
    negate: bool = False
    context_kind: str | None = None


class _Weighted(msgspec.Struct):
    variation: int
    weight: int


class _Rollout(msgspec.Struct, rename="camel"):
    variations: list[_Weighted]
    bucket_by: str | None = None
    context_kind: str | None = None


class _Choice(msgspec.Struct):
    variation: int | None = None
    rollout: _Rollout | None = None


class _Rule(_Choice):
    clauses: list[_Clause] = []
    description: str | None = None


class _Target(msgspec.Struct, rename="camel"):
    values: list[str]
    variation: int
    context_kind: str | None = None


class _Needed(msgspec.Struct):
    key: str
    variation: int


class _Settings(msgspec.Struct, rename="camel", kw_only=True):
    """How a flag is set in one environment."""

    on: bool = False
    targets: list[_Target] = []
    context_targets: list[_Target] = []
    rules: list[_Rule] = []
    fallthrough: _Choice | None = None
    off_variation: int | None = None
    prerequisites: list[_Needed] = []


class _Variation(msgspec.Struct):
    value: Any
    name: str | None = None


class _Maintainer(msgspec.Struct):
    email: str | None = None


class _Item(msgspec.Struct):
    key: str
    variations: list[_Variation]
    environments: dict[str, _Settings] = {}
    name: str = ""
    description: str | None = None
    tags: list[str] = []
    maintainer: _Maintainer | None = msgspec.field(default=None, name="_maintainer")


class _SdkFlag(_Settings, kw_only=True):
    variations: list[Any]


class _SegmentRule(msgspec.Struct):
    clauses: list[_Clause] = []
    weight: int | None = None


class _Segment(msgspec.Struct):
    included: list[str] = []
    excluded: list[str] = []
    rules: list[_SegmentRule] = []


class _File(msgspec.Struct):
    items: list[_Item] | None = None
    flags: dict[str, _SdkFlag] | None = None
    segments: dict[str, _Segment] = {}


def read_launchdarkly(text: bytes, environment: str | None = None) -> Bundle:
    """Flags of LaunchDarkly, as JSON; `environment` says which, where the file holds several.

    Raises:
        Invalid: It is not that, or does not hold that environment.
    """
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"this is no export of LaunchDarkly: {error}") from error
    if file.items is None and file.flags is None:
        raise Invalid("this is no export of LaunchDarkly: it has neither `items` nor `flags`")
    found = [(item, _settings(item, environment)) for item in file.items or ()]
    for key, flag in (file.flags or {}).items():
        found.append((_Item(key, [_Variation(value) for value in flag.variations]), flag))
    items = {item.key: item for item, _ in found}
    left: list[LeftBehind] = []
    return Bundle([_Reading(item, given, items, file.segments, left).flag() for item, given in found], (), left)


def _settings(item: _Item, environment: str | None) -> _Settings:
    names = [*item.environments]
    if environment is None and len(names) == 1:
        environment = names[0]
    if environment not in item.environments:
        raise Invalid(f"{item.key!r} has the environments {', '.join(names) or 'none'}: choose one by --environment")
    return item.environments[environment]


class _Reading:
    """One flag's import."""

    def __init__(
        self,
        item: _Item,
        given: _Settings,
        items: Mapping[str, _Item],
        segments: Mapping[str, _Segment],
        left: list[LeftBehind],
    ) -> None:
        self._item = item
        self._given = given
        self._items = items
        self._segments = segments
        self._left = left

    def flag(self) -> Flag:
        given, item = self._given, self._item
        branches = [*self._targeted(), *(branch for rule in given.rules for branch in self._ruled(rule))]
        otherwise = self._otherwise(given.fallthrough)
        if any(branch.splits for branch in (*branches, *([otherwise] if otherwise else ()))):
            self._leave(LIKE_ELSEWHERE_BUT_OTHERS)
        values = dict(zip(_names(item), (each.value for each in item.variations), strict=True))
        if given.off_variation is not None and values[self._name(given.off_variation)] is not False:
            self._leave(
                f"where it is off, its value was {self._name(given.off_variation)!r}: now it is the caller's default"
            )
        return Flag(
            name=item.key,
            enabled=given.on,
            description=item.description or item.name,
            owner=item.maintainer.email if item.maintainer else None,
            tags=item.tags,
            prerequisites=[each for needed in given.prerequisites if (each := self._prerequisite(needed))],
            **outcome(values, branches, otherwise).fields,
        )

    def _targeted(self) -> Sequence[Branch]:
        found: list[Branch] = []
        for target in (*self._given.targets, *self._given.context_targets):
            if target.context_kind not in (None, "user"):
                self._leave(f"single targets of the context kind {target.context_kind!r} are left out")
            elif target.values:
                among = ask("targetingKey", "in", *target.values)
                found.append(Branch({self._name(target.variation): 1}, among, name="targets"))
        return found

    def _ruled(self, rule: _Rule) -> Sequence[Branch]:
        try:
            condition = all_of(self._clause(clause) for clause in rule.clauses)
            return (self._branch(rule, condition, rule.description or ""),)
        except Unsayable as unsayable:
            self._leave(f"rule {rule.description or ''!r} is left out, its people get what comes after it: {unsayable}")
            return ()

    def _otherwise(self, choice: _Choice | None) -> Branch | None:
        try:
            return self._branch(choice, ((),), "") if choice else None
        except Unsayable as unsayable:
            self._leave(f"what everybody else gets is left out: {unsayable}")
            return None

    def _branch(self, choice: _Choice, condition: Condition, name: str) -> Branch:
        if choice.rollout is None:
            if choice.variation is None:
                raise Unsayable("it says neither a variation nor a rollout")
            return Branch({self._name(choice.variation): 1}, condition, name=name)
        _refuse_kind(choice.rollout.context_kind)
        weights: dict[str, int] = {}
        for each in choice.rollout.variations:
            weights[self._name(each.variation)] = weights.get(self._name(each.variation), 0) + each.weight
        field = _field(choice.rollout.bucket_by or "key")
        return Branch(weights, condition, stickiness="default" if field == "targetingKey" else field, name=name)

    def _clause(self, clause: _Clause) -> Condition:
        if clause.op == "segmentMatch":
            found = any_of(self._segment(str(key)) for key in clause.values)
            return negated(found) if clause.negate else found
        _refuse_kind(clause.context_kind)
        field = _field(clause.attribute)
        operator = _OPERATORS.get(clause.op)
        if operator is None or not all(isinstance(value, Scalar) for value in clause.values):
            raise Unsayable(f"{clause.attribute} {clause.op} {msgspec.json.encode(clause.values).decode()[:100]}")
        values = [_moment(value) if operator.startswith("date_") else value for value in clause.values]
        groups = [values] if operator in _TAKE_MANY else [[value] for value in values]
        found = any_of(ask(field, operator, *group) for group in groups)
        # Who lacks the attribute is in no clause there, negated or not.
        return all_of([is_there(field), negated(found)]) if clause.negate else found

    def _segment(self, key: str) -> Condition:
        segment = self._segments.get(key)
        if segment is None:
            raise Unsayable(f"the segment {key!r}, which is not in the file")
        if any(rule.weight is not None for rule in segment.rules):
            raise Unsayable(f"the segment {key!r}, which holds a percentage")
        ruled = any_of(all_of(self._clause(clause) for clause in rule.clauses) for rule in segment.rules)
        kept = all_of([ruled, negated(ask("targetingKey", "in", *segment.excluded))]) if segment.excluded else ruled
        return any_of([*([ask("targetingKey", "in", *segment.included)] if segment.included else []), kept])

    def _prerequisite(self, needed: _Needed) -> Prerequisite | None:
        parent = self._items.get(needed.key)
        if parent is None:
            return Prerequisite(flag=needed.key)
        name = _name_of(parent, needed.variation)
        if parent.variations[needed.variation].value is False:
            self._leave(f"needs {needed.key} to be {name!r}: here that holds while {needed.key} is switched off too")
            return Prerequisite(flag=needed.key, enabled=False)
        return Prerequisite(flag=needed.key, variants=[name])

    def _name(self, variation: int) -> str:
        return _name_of(self._item, variation)

    def _leave(self, what: str) -> None:
        self._left.append(LeftBehind(self._item.key, what))


def _name_of(item: _Item, variation: int) -> str:
    names = _names(item)
    if not 0 <= variation < len(names):
        raise Invalid(f"{item.key!r} has no variation {variation}: it has {len(names)}")
    return names[variation]


def _names(item: _Item) -> Sequence[str]:
    """The names of a flag's variants, each once."""
    names: list[str] = []
    for place, variation in enumerate(item.variations):
        plain = {True: "on", False: "off"}.get(variation.value) if isinstance(variation.value, bool) else None
        name = variation.name or plain or f"variation-{place}"
        names.append(name if name not in names else f"{name}-{place}")
    return names


def _field(attribute: str) -> str:
    plain = attribute.removeprefix("/")
    if not plain or "/" in plain:
        raise Unsayable(f"the attribute {attribute!r}")
    return "targetingKey" if plain == "key" else plain


def _refuse_kind(kind: str | None) -> None:
    if kind not in (None, "user"):
        raise Unsayable(f"the context kind {kind!r}")


def _moment(value: Scalar) -> Scalar:
    """A date as text; milliseconds since 1970 are written out."""
    try:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat() if isinstance(value, int | float) else value
    except (ValueError, OverflowError, OSError) as error:
        raise Unsayable(f"the date {value!r}") from error
