"""Durations are counted true to within a tenth, and added up as if they had been counted together."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.database.pool.histogram import Histogram, quantiles

durations = st.floats(min_value=2e-6, max_value=1e5)
shares = st.floats(min_value=0.001, max_value=1.0)


def counted(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(durations, min_size=1, max_size=200), shares)
def test_a_quantile_is_within_a_tenth_of_the_true_one(values: list[float], share: float) -> None:
    (told,) = quantiles(counted(values).counts(), [share])
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    assert told == pytest.approx(true, rel=0.1)


@given(st.lists(durations), st.lists(durations))
def test_counts_add_up(some: list[float], others: list[float]) -> None:
    assert Counter(counted(some).counts()) + Counter(counted(others).counts()) == Counter(
        counted(some + others).counts()
    )


@given(st.lists(durations))
def test_the_total_is_exact(values: list[float]) -> None:
    assert counted(values).total_seconds == pytest.approx(sum(values))


@pytest.mark.parametrize("strange", [0.0, -1.0, 1e-12, 1e12])
def test_a_duration_out_of_range_is_counted_at_the_end_it_is_beyond(strange: float) -> None:
    assert sum(counted([strange]).counts().values()) == 1


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantiles({}, (0.5, 0.99)) == [None, None]
