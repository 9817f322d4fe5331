"""What is expected of a monitor, and how it is doing at a moment. Pure; the time is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Final

from opsbook.core.errors import Invalid
from opsbook.debugging.checkins.schedule import Schedule

LOOK_BACK: Final = timedelta(days=1)
"""Misses longer ago than this are not told one by one: most likely nobody was there to check in with."""


class Status(StrEnum):
    """What became of a run."""

    IN_PROGRESS = "in_progress"
    OK = "ok"
    ERROR = "error"
    MISSED = "missed"
    TIMED_OUT = "timed_out"


class State(StrEnum):
    """How a monitor is doing."""

    WAITING = "waiting"
    """It has not checked in yet."""
    OK = "ok"
    IN_PROGRESS = "in_progress"
    LATE = "late"
    """It should have begun, and may still."""
    MISSED = "missed"
    TIMED_OUT = "timed_out"
    ERROR = "error"
    UNREADABLE = "unreadable"
    """Its schedule cannot be read: somebody wrote it into the table."""


FAILURES: Final = frozenset({Status.ERROR, Status.MISSED, Status.TIMED_OUT})


@dataclass(frozen=True)
class Monitor:
    """A row of `check_in_monitors`, with when its oldest run that is still going began."""

    id: int
    project_id: int
    slug: str
    environment: str
    schedule: str | None
    timezone: str
    margin: timedelta
    max_runtime: timedelta
    failure_threshold: int
    recovery_threshold: int
    muted_until: datetime | None
    problem: str | None
    created_at: datetime
    expected_after: datetime
    last_status: str | None
    last_at: datetime | None
    failures: int
    successes: int
    failing_since: datetime | None
    open_since: datetime | None = None
    has_address: bool = False

    @cached_property
    def due_at(self) -> datetime | None:
        """When it is expected next; None where nothing is known of when.

        Raises:
            Invalid: The schedule cannot be read.
        """
        return None if self.schedule is None else self._schedule.next_after(self.expected_after)

    def due_at_or_none(self) -> datetime | None:
        """When it is expected next; None as well where its schedule cannot be read."""
        try:
            return self.due_at
        except Invalid:
            return None

    @property
    def _schedule(self) -> Schedule:
        return Schedule(self.schedule or "", self.timezone)

    def state(self, now: datetime) -> State:
        """How it is doing, whether or not the worker has noticed yet."""
        try:
            due_at = self.due_at
        except Invalid:
            return State.UNREADABLE
        if self.open_since is not None and now > self.open_since + self.max_runtime:
            return State.TIMED_OUT
        if due_at is not None and now > due_at + self.margin:
            return State.MISSED
        if self.open_since is not None:
            return State.IN_PROGRESS
        if due_at is not None and now > due_at:
            return State.LATE
        return State(self.last_status) if self.last_status else State.WAITING

    def is_muted(self, now: datetime) -> bool:
        return self.muted_until is not None and now < self.muted_until

    def is_failing(self, now: datetime) -> bool:
        """Whether it has failed as often in a row as it takes, muted or not."""
        state = self.state(now)
        unnoticed = state in {State.MISSED, State.TIMED_OUT} and self.failures + 1 >= self.failure_threshold
        return self.failing_since is not None or unnoticed or state is State.UNREADABLE

    def needs_somebody(self, now: datetime) -> bool:
        return self.is_failing(now) and not self.is_muted(now)

    def missed(self, now: datetime) -> Iterator[datetime]:
        """The expected times at which nothing began, and no longer can: the first, and those of the last day.

        Raises:
            Invalid: The schedule cannot be read.
        """
        last = now - self.margin
        if self.due_at is None or self.due_at >= last:
            return
        yield self.due_at
        for at in self._schedule.occurrences(max(self.due_at, now - LOOK_BACK), last):
            if at < last:
                yield at

    def begun(self, started_at: datetime) -> Monitor:
        """Once a run has begun: the next one is expected after it."""
        return replace(self, expected_after=max(self.expected_after, self._schedule.starting_point(started_at)))

    def ended(self, status: Status, at: datetime) -> Monitor:
        """Once a run has ended, or was missed; a success after enough of them in a row ends the failing."""
        if status in FAILURES:
            failures = self.failures + 1
            failing_since = self.failing_since or (at if failures >= self.failure_threshold else None)
            return replace(
                self, last_status=status, last_at=at, failures=failures, successes=0, failing_since=failing_since
            )
        successes = self.successes + 1
        failing_since = None if successes >= self.recovery_threshold else self.failing_since
        return replace(
            self, last_status=status, last_at=at, failures=0, successes=successes, failing_since=failing_since
        )
