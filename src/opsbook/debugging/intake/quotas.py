"""How many events a project may send within a minute and an hour, counted by all processes together.

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

Period = Literal["minute", "hour"]
LENGTHS: Final[dict[Period, timedelta]] = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
ERROR: Final = "error"
"""The category that quotas are for."""


class Use(msgspec.Struct, frozen=True):
    """Events that a project sent within a period."""

    project_id: int
    period: Period
    began_at: datetime
    events: int


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
        """Raises `QuotaUsedUp` where the project may send no more events for now."""
        for period, most in self._quotas(project):
            use = self._used.get((project.project_id, period))
            if use is None or use.events < most or now >= (end := use.began_at + LENGTHS[period]):
                continue
            seconds = max(1, round((end - now).total_seconds()))
            raise QuotaUsedUp(
                f"the project's {most:,} events for this {period} are used up",
                RateLimit(seconds, (ERROR,), reason="quota"),
            )

    def _quotas(self, project: Project) -> Iterable[tuple[Period, int]]:
        if project.events_per_hour is not None:
            yield "hour", project.events_per_hour
        if project.events_per_minute is not None:
            yield "minute", project.events_per_minute
