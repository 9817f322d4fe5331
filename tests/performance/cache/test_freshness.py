"""When a result is computed anew: early enough, never so early that it would not rest, and not all at once."""

from __future__ import annotations

from statistics import fmean

from hypothesis import given
from hypothesis import strategies as st

from opsbook.performance.cache.freshness import refresh_ahead

TTLS = st.floats(1e-3, 1e6)
DRAWS = st.floats(0, 1, exclude_max=True)


@given(TTLS, st.floats(0, 1e6), DRAWS)
def test_early_enough_for_the_computation_and_never_before_half_time(ttl: float, seconds: float, draw: float) -> None:
    ahead = refresh_ahead(ttl, seconds, lambda: draw)
    assert min(2 * seconds, ttl / 2) <= ahead <= ttl / 2


def test_it_is_spread_by_as_much_as_the_computation_takes() -> None:
    draws = [number / 1000 for number in range(1000)]
    ahead = [refresh_ahead(1e6, 10.0, lambda: draw) for draw in draws]  # noqa: B023
    assert 29 < fmean(ahead) < 31
