"""Flags of systems where the first rule that fits decides the value, as flags of ours.

Each branch becomes a rule that gives its own variants; the value for everybody else becomes the
rollout: to all with that value, or to nobody where it is `false` or left to the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from opsbook.flags.interchange.logic import ALWAYS, Condition
from opsbook.flags.targeting.model import Rule, ValueType, Variant

LIKE_ELSEWHERE_BUT_OTHERS: Final = (
    "a percentage keeps its share, but chooses other people: the systems hash differently"
)
"""What to say of every percentage of a system whose buckets are not ours."""

Named: TypeAlias = Mapping[str, Any]
"""Values by the names of their variants."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Who gets which of the values, by weight."""

    weights: Mapping[str, int]
    condition: Condition = ALWAYS
    percentage: float = 100.0
    stickiness: str = "default"
    group: str | None = None
    name: str = ""

    @property
    def splits(self) -> bool:
        """Whether chance has a part in it."""
        return self.percentage < 100 or sum(weight > 0 for weight in self.weights.values()) > 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The parts of a flag that say who gets what."""

    value_type: ValueType
    rules: Sequence[Rule] = ()
    variants: Sequence[Variant] = ()
    rollout_percentage: float = 0.0
    fields: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        parts = ("value_type", "rules", "variants", "rollout_percentage")
        object.__setattr__(self, "fields", {name: getattr(self, name) for name in parts})


def outcome(values: Named, branches: Iterable[Branch], otherwise: Branch | None) -> Outcome:
    """What branches in their order come to; `otherwise` is for those whom none of them is for."""
    value_type = type_of(values.values())
    rules = [rule for branch in branches for rule in _rules(values, branch)]
    if otherwise is None or set(otherwise.weights) == {name for name in otherwise.weights if values[name] is False}:
        return Outcome(value_type, rules)
    plain = otherwise.stickiness == "default" and otherwise.group is None and otherwise.percentage >= 100
    if not plain:
        return Outcome(value_type, [*rules, *_rules(values, otherwise)])
    return Outcome(value_type, rules, _variants(values, otherwise), 100.0)


def type_of(values: Iterable[Any]) -> ValueType:
    """What all of the values are; text, where they are not of one type."""
    kinds: set[ValueType] = {_kind(value) for value in values if value is not None}
    return kinds.pop() if len(kinds) == 1 else "string" if kinds else "boolean"


def _kind(value: Any) -> ValueType:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case dict() | list():
            return "object"
        case _:
            return "string"


def _rules(values: Named, branch: Branch) -> Iterable[Rule]:
    for constraints in branch.condition:
        yield Rule(
            name=branch.name,
            constraints=constraints,
            percentage=branch.percentage,
            stickiness=branch.stickiness,
            group=branch.group,
            variants=_variants(values, branch),
        )


def _variants(values: Named, branch: Branch) -> Sequence[Variant]:
    kept = {name: weight for name, weight in branch.weights.items() if weight > 0} or branch.weights
    return [Variant(name=name, weight=weight, value=values[name]) for name, weight in kept.items()]
