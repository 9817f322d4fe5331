"""When something is expected: by crontab in a time zone, by interval, through the nights in which clocks change."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.core.errors import Invalid
from opsbook.debugging.checkins.schedule import Schedule

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
MOMENTS = st.integers(0, 15 * 365 * 86_400).map(
    lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
CRONTABS = st.builds(
    "{} {} {} {} {}".format,
    st.one_of(st.just("*"), st.integers(0, 59).map(str), st.integers(1, 30).map("*/{}".format)),
    st.one_of(st.just("*"), st.integers(0, 23).map(str), st.just("9-17")),
    st.one_of(st.just("*"), st.integers(1, 28).map(str)),
    st.one_of(st.just("*"), st.integers(1, 12).map(str)),
    st.one_of(st.just("*"), st.integers(0, 6).map(str)),
)
INTERVALS = st.builds(
    "every {} {}s".format, st.integers(1, 99), st.sampled_from(["minute", "hour", "day", "week", "month", "year"])
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(schedule: Schedule, start: str, number: int) -> list[str]:
    moment, found = utc(start), []
    for _ in range(number):
        moment = schedule.next_after(moment)
        found.append(f"{moment:%Y-%m-%d %H:%M}")
    return found


def test_in_the_night_with_an_hour_less_a_job_of_that_hour_runs_right_after_it() -> None:
    schedule = Schedule.parse("30 2 * * *", "Europe/Berlin")
    expected = ["2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30"]
    assert following(schedule, "2026-03-28T00:00", 3) == expected


def test_in_the_night_with_an_hour_more_a_job_of_that_hour_runs_once() -> None:
    schedule = Schedule.parse("30 2 * * *", "Europe/Berlin")
    expected = ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"]
    assert following(schedule, "2026-10-24T00:00", 3) == expected


def test_a_job_of_every_hour_runs_every_hour_in_those_nights_too() -> None:
    schedule = Schedule.parse("0 * * * *", "America/New_York")
    expected = ["2026-11-01 05:00", "2026-11-01 06:00", "2026-11-01 07:00"]
    assert following(schedule, "2026-11-01T04:30", 3) == expected


def test_months_end_on_their_own_last_day() -> None:
    schedule = Schedule.parse("every month")
    assert following(schedule, "2026-01-31T06:00", 1) == ["2026-02-28 06:00"]
    assert following(Schedule.parse("every 2 years"), "2024-02-29T06:00", 1) == ["2026-02-28 06:00"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (" 5  *\t* * * ", "5 * * * *"),
        ("@Daily", "0 0 * * *"),
        ("every hour", "every 1 hour"),
        ("Every 15 minutes", "every 15 minutes"),
        ("0 9 * * MON-FRI", "0 9 * * mon-fri"),
    ],
)
def test_it_is_read_as_people_write_it(written: str, kept: str) -> None:
    assert Schedule.parse(written).text == kept


@pytest.mark.parametrize(
    "written",
    [
        *("", "* * * *", "* * * * * *", "60 * * * *", "*/0 * * * *", "\0 * * * *", "99999 * * * *", "0 0 31 2 *"),
        *("every 0 days", "every day or two", "every 99999 years", "@reboot", "x" * 10_000),
    ],
)
def test_what_is_no_schedule_is_refused(written: str) -> None:
    with pytest.raises(Invalid):
        Schedule.parse(written)


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../../etc/passwd", "Europe/Berlin\0", "/etc/localtime", "x" * 999]
)
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(Invalid):
        Schedule.parse("@hourly", zone)


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_is_a_schedule_or_refused(text: str, zone: str) -> None:
    with suppress(Invalid):
        Schedule.parse(text, zone)


@given(CRONTABS, st.sampled_from(ZONES), MOMENTS)
def test_the_next_time_is_later_and_the_first_of_those_that_follow(text: str, zone: str, moment: datetime) -> None:
    schedule = Schedule.parse(text, zone)
    first = schedule.next_after(moment)
    assert first > moment
    between = moment + (first - moment) / 2
    assert schedule.next_after(between) == first
    assert list(schedule.occurrences(moment, first)) == [first]


@given(CRONTABS, st.sampled_from(ZONES), MOMENTS)
def test_a_crontab_is_due_at_a_whole_minute_of_its_zone(text: str, zone: str, moment: datetime) -> None:
    due = Schedule.parse(text, zone).next_after(moment).astimezone(ZoneInfo(zone))
    assert (due.second, due.microsecond) == (0, 0)


@given(INTERVALS, st.sampled_from(ZONES), MOMENTS)
def test_an_interval_leads_on_from_the_run_before(text: str, zone: str, moment: datetime) -> None:
    schedule = Schedule.parse(text, zone)
    assert schedule.next_after(moment) > moment
    assert schedule.starting_point(moment) == moment


@given(MOMENTS, st.integers(0, 30))
def test_a_clock_that_is_ahead_of_ours_misses_nothing(moment: datetime, seconds: int) -> None:
    schedule = Schedule.parse("30 2 * * *")
    due = schedule.next_after(moment)
    early = due - timedelta(seconds=seconds)
    assert schedule.next_after(schedule.starting_point(early)) == due + timedelta(days=1)
