"""Charts: what they draw fits, and says what it stands for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opsbook.web.charts import HEIGHT, WIDTH, Chart, Series, chart, filled, steps

STEP = timedelta(minutes=1)
NOW = datetime(2031, 1, 31, 14, 5, 40, tzinfo=UTC)

values = st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=80)


def drawn(*series: Series, top: float | None = None) -> Chart:
    return chart("Requests", steps(STEP, len(series[0].values), NOW), series, step=STEP, top=top)


def test_steps_begin_on_the_step_and_end_with_the_one_that_runs() -> None:
    assert steps(STEP, 3, NOW) == [datetime(2031, 1, 31, 14, minute, tzinfo=UTC) for minute in (3, 4, 5)]


def test_a_step_without_a_value_is_filled_with_zero() -> None:
    moments = steps(STEP, 3, NOW)
    assert filled(moments, {moments[1]: 7}) == [0, 7, 0]


@given(values)
def test_nothing_is_drawn_outside(each: list[float | None]) -> None:
    for kind in ("area", "line", "bars"):
        for mark in drawn(Series("a", each, kind), Series("b", each, kind)).marks:
            for x in re.findall(r"[MHh]([\d.]+)", mark.path):
                assert 0 <= float(x) <= WIDTH
            for y in re.findall(r"V([\d.]+)", mark.path):
                assert 0 <= float(y) <= HEIGHT


@given(values)
def test_the_scale_is_not_below_the_highest_and_not_far_above(each: list[float | None]) -> None:
    highest = max((value for value in each if value is not None), default=0.0)
    told = chart("x", steps(STEP, len(each), NOW), [Series("a", each)], step=STEP, form=repr).scale[0]
    assert highest <= float(told) <= max(2.0, 2 * highest)


def test_bars_stand_upon_those_before() -> None:
    first, second = drawn(Series("a", [1.0], "bars"), Series("b", [3.0], "bars")).marks
    assert first.path == "M140 100V75h720V100z"
    assert second.path == "M140 75V0h720V75z"


def test_a_line_breaks_where_there_is_no_value() -> None:
    (line,) = drawn(Series("a", [1, None, 2, 2], "line"), top=2).marks
    assert line.path == "M0 50H250M500 0H750V0H1000"


def test_a_tooltip_and_the_summary_say_the_figures() -> None:
    told = drawn(Series("admitted", [1, 4]), Series("refused", [None, None]))
    assert told.columns[1].text == "2031-01-31 14:05 UTC: admitted 4, refused –"
    assert told.summary == "admitted: at most 4, now 4; refused: nothing"
    assert told.span == ("2 min ago", "1 min ago", "now")
