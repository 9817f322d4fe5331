"""A schedule as it is asked for: its steps, as dates or as a ramp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

from opsbook.core.errors import Conflict, Invalid

Steps: TypeAlias = Sequence[dict[str, Any]]
"""In the order of their `at`; each sets `enabled`, `rollout_percentage` or both."""

MOST_STEPS = 100
USUAL_RAMP = (1.0, 5.0, 25.0, 50.0, 100.0)


def dates(on_at: datetime | None, off_at: datetime | None) -> Steps:
    """On at one moment, off at another, or one of the two.

    Raises:
        Invalid: Neither is given.
        Conflict: Both are the same moment, or one is outside the calendar.
    """
    if on_at is None and off_at is None:
        raise Invalid("a schedule needs a time to go on at, or off at")
    if on_at == off_at:
        raise Conflict("a flag cannot go on and off at the same moment")
    given = [(on_at, True), (off_at, False)]
    return [_step(at, enabled=on) for at, on in sorted((at, on) for at, on in given if at is not None)]


def ramp(percentages: Sequence[float], every: timedelta, start: datetime) -> Steps:
    """From one percentage to the next, so far apart; the first switches the flag on.

    Raises:
        Invalid: The percentages do not rise, or are not two-decimal percentages; the steps are not apart.
        Conflict: A step is outside the calendar.
    """
    if not 1 <= len(percentages) <= MOST_STEPS:
        raise Invalid(f"a ramp has 1 to {MOST_STEPS} steps")
    if any(later <= earlier for earlier, later in pairwise(percentages)):
        raise Invalid("a ramp rises: each percentage is above the one before")
    if any(not 0 < each <= 100 or each != round(each, 2) for each in percentages):
        raise Invalid("a ramp's percentages are above 0, at most 100, with at most two decimals")
    if every < timedelta(minutes=1):
        raise Invalid("the steps of a ramp are a minute apart at least")
    try:
        moments = [start + every * place for place in range(len(percentages))]
    except OverflowError as error:
        raise Conflict("the ramp's last step is after the year 9999") from error
    steps = [_step(at, rollout_percentage=each) for at, each in zip(moments, percentages, strict=True)]
    steps[0]["enabled"] = True
    return steps


def effect_in_words(step: Mapping[str, Any]) -> str:
    """What a step does, as `on at 5 %`."""
    switch = ("on" if step["enabled"] else "off") if "enabled" in step else None
    share = f"at {step['rollout_percentage']:g} %" if "rollout_percentage" in step else None
    return " ".join(part for part in (switch, share) if part)


def _step(at: datetime, **fields: object) -> dict[str, Any]:
    try:
        return {"at": at.astimezone(UTC).isoformat(), **fields}
    except OverflowError as error:
        raise Conflict(f"{at.isoformat()} is outside the calendar in UTC") from error
