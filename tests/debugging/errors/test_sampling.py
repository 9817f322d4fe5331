"""Which events of a flood stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.errors.sampling import stands_for


@given(st.integers(1, 1_000), st.integers(1, 10**9))
def test_the_first_stay_and_later_ones_by_powers_of_ten(full: int, number: int) -> None:
    share = stands_for(number, full)
    if number <= full:
        assert share == 1
    assert share in {0, *(10**power for power in range(10))}
    assert share == 0 or (number % share == 0 and number > full * share // 10) or share == 1


@given(st.integers(10, 500), st.integers(1, 20_000))
def test_what_stays_stands_for_nearly_all(full: int, events: int) -> None:
    shares = [stands_for(number, full) for number in range(1, events + 1)]
    assert abs(sum(shares) - events) <= max(10, events // full * 10)
    assert sum(map(bool, shares)) <= full + 5 * full
