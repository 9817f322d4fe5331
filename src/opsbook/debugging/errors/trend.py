"""How often something happened, as the bars of a small chart, and in words for who cannot see it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

HEIGHT: Final = 32
"""Of the highest bar, in the chart's own units."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One step: its place from 0 on, how high it is, and in words."""

    place: int
    height: int
    words: str


@dataclass(frozen=True, slots=True)
class Trend:
    """The steps in which something happened, how many steps there are, and all of them in words."""

    bars: Sequence[Bar]
    steps: int
    words: str


def trend_of(rows: Sequence[Mapping[str, Any]], now: datetime, step: timedelta, steps: int) -> Trend:
    """The trend up to now of rows that have `began_at` and `events`; each falls into the step it began in."""
    start = _begin(now, step) - (steps - 1) * step
    counts = [0] * steps
    for row in rows:
        place = (row["began_at"] - start) // step
        if 0 <= place < steps:
            counts[place] += row["events"]
    most = max(counts)
    bars = [
        Bar(place, max(1, round(HEIGHT * events / most)), _in_words(events, start + place * step))
        for place, events in enumerate(counts)
        if events
    ]
    period = _length(step * steps)
    return Trend(bars, steps, f"{sum(counts)} events in {period}, at most {most} in {_length(step)}")


def _begin(moment: datetime, step: timedelta) -> datetime:
    origin = datetime(2000, 1, 1, tzinfo=UTC)
    return origin + (moment - origin) // step * step


def _in_words(events: int, began_at: datetime) -> str:
    return f"{events} from {began_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _length(period: timedelta) -> str:
    hours = round(period.total_seconds() / 3600)
    return f"{hours // 24} d" if hours >= 48 and hours % 24 == 0 else f"{hours} h"
