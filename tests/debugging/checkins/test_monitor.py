"""How a monitor is doing: the states it goes through, and how often it may fail before somebody is needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.checkins.monitor import FAILURES, Monitor, State, Status

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOURLY = Monitor(
    id=1,
    project_id=1,
    slug="report",
    environment="production",
    schedule="0 * * * *",
    timezone="UTC",
    margin=5 * MINUTE,
    max_runtime=30 * MINUTE,
    failure_threshold=1,
    recovery_threshold=1,
    muted_until=None,
    problem=None,
    created_at=START,
    expected_after=START,
    last_status=None,
    last_at=None,
    failures=0,
    successes=0,
    failing_since=None,
)
DUE = START + timedelta(hours=1)


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (timedelta(), State.WAITING),
        (timedelta(hours=1), State.WAITING),
        (timedelta(hours=1, seconds=1), State.LATE),
        (timedelta(hours=1, minutes=5), State.LATE),
        (timedelta(hours=1, minutes=5, seconds=1), State.MISSED),
    ],
)
def test_one_that_does_not_come_is_late_and_then_missed(after: timedelta, state: State) -> None:
    assert HOURLY.state(START + after) is state


def test_one_that_goes_on_is_in_progress_and_then_timed_out() -> None:
    going = replace(HOURLY.begun(DUE), open_since=DUE)
    assert going.state(DUE + 30 * MINUTE) is State.IN_PROGRESS
    assert going.state(DUE + 31 * MINUTE) is State.TIMED_OUT
    assert going.is_failing(DUE + 31 * MINUTE), "whether or not the worker has noticed yet"


def test_one_without_a_schedule_is_never_missed() -> None:
    free = replace(HOURLY, schedule=None)
    assert free.state(START + timedelta(days=999)) is State.WAITING
    assert list(free.missed(START + timedelta(days=999))) == []


def test_a_schedule_that_cannot_be_read_needs_somebody() -> None:
    broken = replace(HOURLY, schedule="99 * * * *")
    assert broken.state(START) is State.UNREADABLE
    assert broken.needs_somebody(START)
    assert broken.due_at_or_none() is None


def test_it_fails_after_so_many_failures_and_is_well_after_so_many_successes() -> None:
    monitor, seen = replace(HOURLY, failure_threshold=2, recovery_threshold=2), []
    for status in (Status.ERROR, Status.OK, Status.ERROR, Status.MISSED, Status.OK, Status.OK):
        monitor = monitor.begun(START).ended(status, START)
        seen.append(monitor.is_failing(START))
    assert seen == [False, False, False, True, True, False]


def test_muted_it_worries_nobody_until_then() -> None:
    monitor = replace(HOURLY.ended(Status.ERROR, START), muted_until=START + MINUTE)
    assert monitor.is_failing(START)
    assert [monitor.needs_somebody(START + each) for each in (timedelta(), MINUTE)] == [False, True]


def test_what_was_missed_is_told_the_first_and_each_of_the_last_day() -> None:
    now = START + timedelta(days=10)
    missed = list(HOURLY.missed(now))
    assert missed[0] == DUE
    assert len(missed) == 1 + 23
    assert missed[-1] == now - timedelta(hours=1)


@given(st.timedeltas(timedelta(), timedelta(days=3)))
def test_what_is_missed_is_what_its_state_says(after: timedelta) -> None:
    now = START + after
    missed = list(HOURLY.missed(now))
    assert (HOURLY.state(now) is State.MISSED) == bool(missed)
    assert all(at + HOURLY.margin < now for at in missed)
    assert missed == sorted(set(missed))


@given(st.lists(st.sampled_from([Status.OK, Status.ERROR, Status.MISSED, Status.TIMED_OUT])), st.integers(1, 4))
def test_failing_is_a_matter_of_failures_in_a_row(ends: list[Status], threshold: int) -> None:
    monitor = replace(HOURLY, failure_threshold=threshold)
    for end in ends:
        monitor = monitor.ended(end, START)
    in_a_row = next((place for place, end in enumerate(reversed(ends)) if end not in FAILURES), len(ends))
    assert monitor.failures == in_a_row
    assert (monitor.failing_since is not None) == (in_a_row >= threshold)
