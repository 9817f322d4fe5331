"""How findings add up to a verdict."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from opsbook.monitoring.health import Check, Finding, Measurement, Overall, Result, Status, overall, understand

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


async def nothing() -> None:
    """Find nothing wrong."""


def result(status: Status, *, critical: bool = False) -> Result:
    return Result("a", critical, status, None, 0.001, 0.1, NOON)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([], Overall.OK),
        ([result(Status.OK), result(Status.NOT_CONFIGURED, critical=True)], Overall.OK),
        ([result(Status.OK), result(Status.WARN)], Overall.DEGRADED),
        ([result(Status.WARN, critical=True)], Overall.DEGRADED),
        ([result(Status.DOWN)], Overall.DEGRADED),
        ([result(Status.DOWN), result(Status.DOWN, critical=True)], Overall.DOWN),
    ],
)
def test_the_verdict(results: list[Result], verdict: Overall) -> None:
    assert overall(results) is verdict


def test_a_result_carries_its_age_and_latency() -> None:
    check = Check("a", nothing, critical=True)
    seen = understand(check, Measurement(Finding(Status.OK, "fine"), 0.02, NOON, clock=100.0), clock=100.25)
    assert seen == Result("a", True, Status.OK, "fine", 0.02, 0.25, NOON)


def test_a_result_too_old_to_mean_anything_counts_as_down() -> None:
    check = Check("a", nothing, interval=0.5, deadline=1.0)
    last = Measurement(Finding(Status.OK), 0.02, NOON, clock=100.0)
    assert understand(check, last, clock=103.4).status is Status.OK
    stale = understand(check, last, clock=103.6)
    assert stale.status is Status.DOWN
    assert stale.detail == "unknown: not checked for 4 s, it was ok then"


def test_what_was_never_checked_counts_as_down() -> None:
    assert understand(Check("a", nothing), None, clock=1.0).status is Status.DOWN
