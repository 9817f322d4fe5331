"""Why a flag is what it is for somebody: the steps of the evaluation, in order, each with what it found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from opsbook.flags.evaluation import Arm, CompiledFlag, Decided, Evaluation, Flags, evaluate, holds
from opsbook.flags.hashing import BUCKETS, bucket
from opsbook.flags.targeting.compiled import CURRENT_TIME, constraint_predicate
from opsbook.flags.targeting.context import Context, field_reader
from opsbook.flags.targeting.model import Constraint
from opsbook.flags.wording import condition_in_words, prerequisite_in_words

_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One question and its answer; the first `no` of a rule ends that rule, the first `yes` in all ends the rest."""

    question: str
    held: bool
    detail: str = ""
    place: float | None = None
    """Where the context falls between 0 and 100, for a step that asks for a share."""
    share: float | None = None
    """What is in of 100, for such a step."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a flag is for a context, and how that came about."""

    result: Evaluation
    steps: tuple[Step, ...]


def explain(compiled: CompiledFlag, context: Context, flags: Flags) -> Explanation:
    """Evaluate a flag as `evaluate` does, and tell each step."""
    return Explanation(evaluate(compiled, context, flags), tuple(_steps(compiled, context, flags)))


def _steps(compiled: CompiledFlag, context: Context, flags: Flags) -> Iterator[Step]:
    for step in _in_principle(compiled, context, flags):
        yield step
        if not step.held:
            return
    for place, arm in enumerate(compiled.arms, start=1):
        steps = list(_of_arm(_title(arm, place), arm, context))
        yield from steps
        if all(step.held for step in steps):
            return


def _in_principle(compiled: CompiledFlag, context: Context, flags: Flags) -> Iterator[Step]:
    flag = compiled.flag
    yield Step("kill switch not thrown", not flag.kill_switch)
    yield Step("enabled", flag.enabled)
    yield Step("not archived", flag.archived_at is None)
    if compiled.expires_at is not None:
        yield Step("not expired", compiled.clock() < compiled.expires_at, f"expires {flag.expires_at}")
    decided: Decided = {}
    for prerequisite in compiled.prerequisites:
        question = f"prerequisite {prerequisite.flag} is {prerequisite_in_words(prerequisite)}"
        yield Step(question, holds(prerequisite, context, flags, 0, decided))


def _of_arm(title: str, arm: Arm, context: Context) -> Iterator[Step]:
    for constraint in arm.rule.constraints:
        held = constraint_predicate(constraint, time.time)(context)
        yield Step(
            f"{title}: {condition_in_words(constraint)}", held, f"it is {context.get(constraint.field, 'missing')!r}"
        )
        if not held:
            return
    if arm.rule.segments and arm.admits is not None:
        held = arm.admits(context)
        yield Step(f"{title}: in the segments {', '.join(arm.rule.segments)}", held)
        if not held:
            return
    if arm.threshold < BUCKETS:
        key = arm.read(context)
        place = bucket(arm.group, key) / 100 if key else None
        share = arm.threshold / 100
        detail = "nothing to stick to" if place is None else f"{key!r} falls at {place:.2f}"
        yield Step(f"{title}: inside {share:g} %", place is not None and place < share, detail, place, share)
    elif not arm.rule.constraints and not arm.rule.segments:
        yield Step(f"{title}: everybody", True)


def _title(arm: Arm, place: int) -> str:
    return arm.rule.name or f"rule {place}"


def _found(constraint: Constraint, context: Context) -> str:
    text = field_reader(constraint.field)(context)
    if text is not None:
        return f"it is {text[:_LONGEST_SHOWN]!r}"
    return "it is the present moment" if constraint.field == CURRENT_TIME else "it is missing"
