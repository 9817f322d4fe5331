"""When something is expected: a crontab in a time zone, or every so often. Pure; the time is passed in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from opsbook.core.errors import Invalid

EARLY: Final = timedelta(seconds=30)
"""How much sooner than expected a run may begin and still be the expected one: a clock that is ahead of ours."""

_INTERVAL: Final = re.compile(r"every (?P<number>[1-9][0-9]{0,4}) (?P<unit>minute|hour|day|week|month|year)s?")
_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_MONTHS: Final = {"month": 1, "year": 12}
_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""As crontab(5) has them."""
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Schedule:
    """A crontab of five fields, or `every N units`, in a time zone."""

    text: str
    timezone: str = "UTC"

    @classmethod
    def parse(cls, text: str, timezone: str = "UTC") -> Schedule:
        """A schedule as people write it: `5 * * * *`, `@daily`, `every 2 hours`, `every day`.

        Raises:
            Invalid: It is none, never comes, or the time zone is not in the IANA database.
        """
        words = " ".join(text.split()).lower()
        words = re.sub(r"^every (?=[a-z])", "every 1 ", _NICKNAMES.get(words, words))
        if len(words) > _LONGEST:
            raise Invalid(f"a schedule has at most {_LONGEST} characters")
        schedule = cls(words, timezone)
        schedule.next_after(datetime(2024, 1, 1, tzinfo=UTC))
        return schedule

    def next_after(self, moment: datetime) -> datetime:
        """The first time after a moment at which something is expected, in UTC.

        In the night in which clocks go forward, what falls into the hour that is left out is expected
        right after it; in the other night, once. That is what Debian's cron does.

        Raises:
            Invalid: As for `parse`, for a schedule that came from elsewhere.
        """
        return _next_after(self.text, self.timezone, moment)

    def starting_point(self, started_at: datetime) -> datetime:
        """After which the next run is expected, once one has begun."""
        return started_at if self.text.startswith("every ") else started_at + EARLY

    def occurrences(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The expected times after one moment, up to another one."""
        while (after := self.next_after(after)) <= until:
            yield after


# A tenth of a millisecond each, and asked again and again about the same moment.
@lru_cache(maxsize=8192)
def _next_after(text: str, timezone: str, moment: datetime) -> datetime:
    zone = _zone(timezone)
    if interval := _INTERVAL.fullmatch(text):
        return _later(moment, int(interval["number"]), interval["unit"], zone)
    try:
        return next(_crontab(text, moment.astimezone(zone))).astimezone(UTC)
    except (StopIteration, OverflowError) as error:
        raise Invalid(f"the schedule {text!r} never comes") from error


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise Invalid(
            f"{name!r} is no time zone; write it as in the IANA database, for example Europe/Berlin"
        ) from error


def _crontab(text: str, local: datetime) -> Iterator[datetime]:
    if len(text.split(" ")) != 5:
        raise Invalid(f"{text!r} is no schedule; write five fields of a crontab, or for example `every 2 hours`")
    try:
        return CronSim(text, local)
    except CronSimError as error:
        raise Invalid(f"{text!r} is no crontab: {error}") from error


def _later(moment: datetime, number: int, unit: str, zone: tzinfo) -> datetime:
    """Minutes, hours, days and weeks by the clock's ticking; months and years by the calendar of the time zone."""
    try:
        if unit in _SECONDS:
            return moment.astimezone(UTC) + timedelta(seconds=number * _SECONDS[unit])
        local = moment.astimezone(zone)
        years, month = divmod(local.month - 1 + number * _MONTHS[unit], 12)
        return _in_month(local, local.year + years, month + 1).astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise Invalid(f"every {number} {unit}s leads out of the calendar") from error


def _in_month(local: datetime, year: int, month: int) -> datetime:
    """The same day and time in another month, or that month's last day where it is shorter."""
    first = local.replace(year=year, month=month, day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return first.replace(day=min(local.day, (following - timedelta(days=1)).day))
