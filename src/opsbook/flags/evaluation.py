"""What is a flag for somebody? Pure functions over immutable, compiled flags.

A flag is on for a context when it is enabled, neither killed nor archived nor expired, its
prerequisites hold, and one of its rules admits the context or the context falls inside
`rollout_percentage`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opsbook.flags.hashing import BUCKETS, bucket
from opsbook.flags.model import Flag
from opsbook.flags.targeting.compiled import Clock, Predicate, rule_predicate
from opsbook.flags.targeting.context import Context, Reader, sticky_reader
from opsbook.flags.targeting.model import Prerequisite, Rule, Segment, Variant
from opsbook.flags.variants import VariantPicker

DEEPEST_PREREQUISITES: Final = 64

STATIC: Final = "STATIC"
SPLIT: Final = "SPLIT"
TARGETING_MATCH: Final = "TARGETING_MATCH"
DEFAULT: Final = "DEFAULT"
DISABLED: Final = "DISABLED"
ERROR: Final = "ERROR"
FLAG_NOT_FOUND: Final = "FLAG_NOT_FOUND"
TARGETING_KEY_MISSING: Final = "TARGETING_KEY_MISSING"
INVALID_CONTEXT: Final = "INVALID_CONTEXT"

Metadata = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A flag's value for one context. Reasons and error codes are OpenFeature's (specification 0.8, types)."""

    enabled: bool
    """Whether the flag is on for the context."""
    value: Any
    """Of the flag's value type; None, where it is off and not boolean, leaves the caller its default."""
    variant: str | None
    reason: str
    error_code: str | None = None
    metadata: Metadata = field(default_factory=dict[str, "str | int | float | bool"])


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to be on: a rule, or the rollout percentage, which is the last."""

    rule: Rule
    admits: Predicate | None
    """Whether the rule's constraints hold; None where it has none."""
    threshold: int
    """Buckets below it are in; 0 to 10,000."""
    group: str
    read: Reader
    """What the bucket sticks to."""
    on: Evaluation
    picker: VariantPicker[Evaluation] | None


@dataclass(frozen=True, slots=True)
class CompiledFlag:
    """A flag with everything worked out that does not depend on the context; two of one flag are equal."""

    flag: Flag
    fixed: Evaluation | None = field(compare=False)
    """The answer for everybody, where it is the same for everybody."""
    expires_at: float | None = field(compare=False)
    prerequisites: Sequence[Prerequisite] = field(compare=False)
    arms: Sequence[Arm] = field(compare=False)
    off: Evaluation = field(compare=False)
    """Where it is off in principle: disabled, killed, expired, a prerequisite unmet."""
    outside: Evaluation = field(compare=False)
    """Where it is on, but not for this context."""
    without_key: Evaluation = field(compare=False)
    clock: Clock = field(compare=False)


Flags = Mapping[str, CompiledFlag]
Decided = dict[str, Evaluation]
"""What prerequisites were found to be, by their names: each is asked once, however many ways lead to it."""
NO_SEGMENTS: Final[Mapping[str, Segment]] = {}


def compile_flag(flag: Flag, segments: Mapping[str, Segment] = NO_SEGMENTS, clock: Clock = time.time) -> CompiledFlag:
    """Work out what does not depend on the context; `segments` are those that its rules may name."""
    make = _Outcomes(flag)
    off = make.off(DISABLED)
    arms = [_arm(flag, rule, segments, clock, make) for rule in (*flag.rules, _rollout(flag))]
    arms = [arm for arm in arms if arm.threshold > 0]
    changing = bool(flag.prerequisites) or (flag.off_when_expired and flag.expires_at is not None)
    fixed: Evaluation | None = None
    if flag.kill_switch or not flag.enabled or flag.archived_at is not None:
        fixed = off
    elif not changing and not arms:
        fixed = make.off(STATIC)
    elif not changing and _admits_everybody(arms[0]):
        fixed = make.on(STATIC)
    return CompiledFlag(
        flag=flag,
        fixed=fixed,
        expires_at=flag.expires_at.timestamp() if flag.off_when_expired and flag.expires_at else None,
        prerequisites=flag.prerequisites,
        arms=tuple(arms),
        off=off,
        outside=make.off(SPLIT if any(arm.threshold < BUCKETS for arm in arms) else DEFAULT),
        without_key=make.off(ERROR, TARGETING_KEY_MISSING),
        clock=clock,
    )


def evaluate(
    compiled: CompiledFlag, context: Context, flags: Flags, depth: int = 0, decided: Decided | None = None
) -> Evaluation:
    """A flag's value for a context; `flags` are those that its prerequisites may name."""
    if compiled.fixed is not None:
        return compiled.fixed
    if compiled.expires_at is not None and compiled.clock() >= compiled.expires_at:
        return compiled.off
    if compiled.prerequisites and not _all_hold(compiled, context, flags, depth, decided):
        return compiled.off
    keyless = False
    for arm in compiled.arms:
        if arm.admits is not None and not arm.admits(context):
            continue
        if arm.threshold < BUCKETS:
            key = arm.read(context)
            if not key:
                keyless = True
                continue
            if bucket(arm.group, key) >= arm.threshold:
                continue
        return arm.on if arm.picker is None else arm.picker.pick(context) or arm.on
    return compiled.without_key if keyless else compiled.outside


def _all_hold(compiled: CompiledFlag, context: Context, flags: Flags, depth: int, decided: Decided | None) -> bool:
    decided = {} if decided is None else decided
    return all(holds(each, context, flags, depth, decided) for each in compiled.prerequisites)


def holds(prerequisite: Prerequisite, context: Context, flags: Flags, depth: int, decided: Decided) -> bool:
    """Whether another flag is what it must be; a missing one never is, nor one too deep to follow."""
    found = decided.get(prerequisite.flag)
    if found is None:
        parent = flags.get(prerequisite.flag)
        if parent is None or depth >= DEEPEST_PREREQUISITES:
            return False
        found = decided[prerequisite.flag] = evaluate(parent, context, flags, depth + 1, decided)
    if found.enabled != prerequisite.enabled:
        return False
    return not (prerequisite.enabled and prerequisite.variants) or found.variant in prerequisite.variants


class _Outcomes:
    """Makes a flag's evaluations, once each."""

    def __init__(self, flag: Flag) -> None:
        self._flag = flag
        self._metadata: Metadata = {"revision": flag.revision}

    def on(self, reason: str, variant: Variant | None = None) -> Evaluation:
        value = variant.value if variant else None
        if value is None and self._flag.value_type == "boolean":
            value = True
        return Evaluation(value is not False, value, variant.name if variant else "on", reason, None, self._metadata)

    def off(self, reason: str, error_code: str | None = None) -> Evaluation:
        value = False if self._flag.value_type == "boolean" else None
        metadata = {**self._metadata, "killed": True} if self._flag.kill_switch else self._metadata
        return Evaluation(False, value, "off", reason, error_code, metadata)


def _rollout(flag: Flag) -> Rule:
    return Rule(name="rollout", percentage=flag.rollout_percentage)


def _arm(flag: Flag, rule: Rule, segments: Mapping[str, Segment], clock: Clock, make: _Outcomes) -> Arm:
    threshold = min(BUCKETS, max(0, round(rule.percentage * 100)))
    admits = rule_predicate(rule.constraints, rule.segments, segments, clock)
    reason = SPLIT if threshold < BUCKETS else TARGETING_MATCH if admits else STATIC
    group = rule.group or flag.name
    variants = rule.variants or flag.variants
    picker = None
    if variants:
        # The flag's own variants are dealt the same to everybody, by whichever rule they came in.
        dealt = (group, rule.stickiness) if rule.variants else (flag.name, "default")
        picker = VariantPicker(variants, *dealt, lambda each: make.on(SPLIT if len(variants) > 1 else reason, each))
    return Arm(rule, admits, threshold, group, sticky_reader(rule.stickiness), make.on(reason), picker)


def _admits_everybody(arm: Arm) -> bool:
    return arm.admits is None and arm.threshold >= BUCKETS and arm.picker is None
