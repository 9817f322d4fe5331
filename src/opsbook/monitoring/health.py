"""What a health check is, what it finds, and how findings add up to a verdict; no I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsbook.database import PoolStatus


class Status(StrEnum):
    """The state of one thing that is checked."""

    OK = "ok"
    WARN = "warn"
    DOWN = "down"
    NOT_CONFIGURED = "not_configured"


class Overall(StrEnum):
    """The verdict over all checks."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one run of a check found; `detail` is for people who are signed in."""

    status: Status
    detail: str | None = None


CheckFunction = Callable[[], Awaitable[Finding | str | None]]
"""Gives None (ok), a text (ok, with a detail) or a `Finding`; raises when the thing is down."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at again and again."""

    name: str
    run: CheckFunction
    critical: bool = False
    """Whether the service is down when this is; otherwise it is merely degraded."""
    interval: float = 0.5
    """Seconds from one run's end to the next one's start."""
    deadline: float = 1.0
    """Seconds after which a run without an answer counts as down."""

    @property
    def longest_age(self) -> float:
        """Seconds after which a result says nothing any more, because the checking itself must be stuck."""
        return self.interval + 3 * self.deadline


@dataclass(frozen=True, slots=True)
class Measurement:
    """A finding, how long it took, and when it was made."""

    finding: Finding
    latency_seconds: float
    checked_at: datetime
    clock: float
    """The monotonic clock when it was made; ages are counted from here, whatever the wall clock does."""


@dataclass(frozen=True, slots=True)
class Result:
    """A check's last measurement, as it is to be understood now."""

    name: str
    critical: bool
    status: Status
    detail: str | None
    latency_seconds: float | None
    age_seconds: float | None
    checked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """How everything is at one moment."""

    status: Overall
    checks: tuple[Result, ...]
    pool: PoolStatus | None
    timestamp: datetime

    def status_of(self, name: str) -> Status:
        """The status of a check; not configured when there is no such check."""
        return next((result.status for result in self.checks if result.name == name), Status.NOT_CONFIGURED)


def understand(check: Check, last: Measurement | None, clock: float) -> Result:
    """A check's result at a moment: a measurement that is missing or too old counts as down."""
    if last is None:
        return Result(check.name, check.critical, Status.DOWN, "not checked yet", None, None, None)
    age = max(0.0, clock - last.clock)
    finding = last.finding
    if age > check.longest_age:
        finding = Finding(Status.DOWN, f"unknown: not checked for {age:.0f} s, it was {finding.status} then")
    return Result(
        check.name, check.critical, finding.status, finding.detail, last.latency_seconds, age, last.checked_at
    )


def overall(results: Sequence[Result]) -> Overall:
    """Down when something critical is down; degraded when anything else is down or warns; otherwise ok."""
    if any(result.critical and result.status is Status.DOWN for result in results):
        return Overall.DOWN
    if any(result.status in (Status.DOWN, Status.WARN) for result in results):
        return Overall.DEGRADED
    return Overall.OK
