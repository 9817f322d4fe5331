"""Reads the console's forms of a schedule: on and off at a date, or a ramp that is previewed before it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Final

from opsbook.core.errors import Invalid
from opsbook.flags.form import read_moment
from opsbook.flags.schedules.model import USUAL_RAMP, Steps, dates, ramp

UNITS: Final[Mapping[str, timedelta]] = {
    "days": timedelta(days=1),
    "hours": timedelta(hours=1),
    "minutes": timedelta(minutes=1),
}


@dataclass(frozen=True, slots=True)
class DatesForm:
    """On and off at a moment, as they stand in a form."""

    on_at: str = ""
    off_at: str = ""

    @classmethod
    def sent(cls, form: Mapping[str, str]) -> DatesForm:
        """What a person sent."""
        return cls(form.get("on_at", ""), form.get("off_at", ""))

    def steps(self) -> Steps:
        """The steps that it comes to.

        Raises:
            Invalid: Neither is given, or one is no moment.
            Conflict: Both are the same moment.
        """
        return dates(read_moment(self.on_at), read_moment(self.off_at))


@dataclass(frozen=True, slots=True)
class RampForm:
    """A ramp as it stands in a form."""

    percentages: str = ", ".join(f"{each:g}" for each in USUAL_RAMP)
    every: str = "1"
    unit: str = "days"
    start: str = ""

    @classmethod
    def sent(cls, form: Mapping[str, str]) -> RampForm:
        """What a person sent."""
        return cls(*(form.get(name, "").strip() for name in ("percentages", "every", "unit", "start")))

    @property
    def content(self) -> str:
        """All of it in one text: a ramp is made only as it was previewed."""
        return "|".join(astuple(self))

    def steps(self, now: datetime) -> Steps:
        """The steps that it comes to; without a start the first is now.

        Raises:
            Invalid: A field is malformed, or the steps are none of a ramp.
            Conflict: A step is outside the calendar.
        """
        return ramp(self._percentages(), self._every(), read_moment(self.start) or now)

    def _percentages(self) -> list[float]:
        texts = self.percentages.replace(",", " ").replace("%", " ").split()
        if not texts or not all(re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", text) for text in texts):
            raise Invalid(f"{self.percentages[:40]!r} are no percentages; write them as 1, 5, 25, 50, 100")
        return [float(text) for text in texts]

    def _every(self) -> timedelta:
        if not re.fullmatch(r"[0-9]{1,5}", self.every) or self.unit not in UNITS:
            raise Invalid("the time from one step to the next is a whole number of days, hours or minutes")
        return int(self.every) * UNITS[self.unit]
