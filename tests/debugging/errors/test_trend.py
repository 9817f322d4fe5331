"""A trend holds every event of its period, in steps of equal length, and says so in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.errors.trend import HEIGHT, trend_of

NOW = datetime(2026, 3, 1, 12, 34, tzinfo=UTC)
HOUR = timedelta(hours=1)
counts = st.dictionaries(st.integers(0, 60), st.integers(1, 10**9), max_size=30)


def rows(by_hours_ago: dict[int, int]) -> list[dict[str, object]]:
    hour = NOW.replace(minute=0)
    return [{"began_at": hour - ago * HOUR, "events": events} for ago, events in by_hours_ago.items()]


def test_it_names_its_highest_step() -> None:
    trend = trend_of(rows({0: 2, 3: 8, 23: 4, 24: 100}), NOW, HOUR, 24)
    assert [(bar.place, bar.height) for bar in trend.bars] == [(0, 16), (20, HEIGHT), (23, 8)]
    assert trend.words == "14 events in 24 h, at most 8 in 1 h"
    assert trend.bars[1].words == "8 from 2026-03-01 09:00 UTC"


def test_nothing_is_a_trend_too() -> None:
    trend = trend_of([], NOW, 6 * HOUR, 56)
    assert (trend.bars, trend.words) == ([], "0 events in 14 d, at most 0 in 6 h")


@given(counts, st.integers(1, 12))
def test_every_event_of_the_period_is_in_one_bar(by_hours_ago: dict[int, int], hours: int) -> None:
    trend = trend_of(rows(by_hours_ago), NOW, hours * HOUR, 10)
    shown = sum(int(bar.words.partition(" ")[0]) for bar in trend.bars)
    assert shown <= sum(by_hours_ago.values())
    assert shown >= sum(events for ago, events in by_hours_ago.items() if ago <= hours * 9)
    assert all(0 <= bar.place < 10 and 1 <= bar.height <= HEIGHT for bar in trend.bars)
