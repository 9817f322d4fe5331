"""How much a project may send within a minute, an hour and a day, counted by all processes together.

The count stands in the database and is taken with each commit, so that a process knows what the
others accepted a moment ago: a quota is overshot by what is on its way in that moment, no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from opsbook.debugging.intake.projects import Project, Projects
from opsbook.debugging.intake.refusals import QuotaUsedUp
from opsbook.debugging.protocol.rate_limits import RateLimit

Period = Literal["minute", "hour", "day"]
LENGTHS: Final[dict[Period, timedelta]] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
ERROR: Final = "error"
"""The category that quotas of events are for; one of bytes is for all."""
MEGABYTE: Final = 1_000_000
LONGEST_SECONDS: Final = 3_600
"""After which a sender asks again, for a quota of a day may have been raised meanwhile."""


class Use(msgspec.Struct, frozen=True):
    """What a project sent within a period: events accepted, bytes kept."""

    project_id: int
    period: Period
    began_at: datetime
    events: int
    bytes: int


class _Quota(msgspec.Struct, frozen=True):
    """At most so much of something within a period; `words` say how much."""

    period: Period
    measure: Literal["events", "bytes"]
    most: int
    words: str
    categories: tuple[str, ...] = ()
    """What is refused beyond: nothing else, or everything."""


class Quotas:
    """What projects have used, as this process last saw it."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._used: dict[tuple[int, Period], Use] = {}

    def limits(self, project_id: int) -> bool:
        """Whether the project has a quota."""
        return self._projects.has_quota(project_id)

    def learn(self, uses: Iterable[Use]) -> None:
        """Take note of what the database counted."""
        for use in uses:
            self._used[use.project_id, use.period] = use

    def check(self, project: Project, now: datetime) -> None:
        """Raises `QuotaUsedUp` where the project may send no more events, or nothing at all, for now."""
        for quota in _quotas(project):
            use = self._used.get((project.project_id, quota.period))
            if use is None or getattr(use, quota.measure) < quota.most:
                continue
            end = use.began_at + LENGTHS[quota.period]
            if now < end:
                seconds = min(max(1, round((end - now).total_seconds())), LONGEST_SECONDS)
                raise QuotaUsedUp(
                    f"the project's {quota.words} for this {quota.period} are used up",
                    RateLimit(seconds, quota.categories, reason="quota"),
                )


def _quotas(project: Project) -> Iterable[_Quota]:
    """The one that refuses most comes first."""
    if (megabytes := project.megabytes_per_day) is not None:
        yield _Quota("day", "bytes", megabytes * MEGABYTE, f"{megabytes:,} MB")
    of_events: dict[Period, int | None] = {
        "day": project.events_per_day,
        "hour": project.events_per_hour,
        "minute": project.events_per_minute,
    }
    for period, most in of_events.items():
        if most is not None:
            yield _Quota(period, "events", most, f"{most:,} events", (ERROR,))
