"""Random moments lie where they may, and leave the service's own random numbers alone."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from opsbook.core.jitter import jitter


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_moment_lies_between_the_two(earliest: float, length: float) -> None:
    assert earliest <= jitter(earliest, earliest + length) <= earliest + length


def test_what_the_service_has_seeded_stays_seeded() -> None:
    random.seed(7)
    expected = random.random()
    random.seed(7)
    jitter(0, 1)
    assert random.random() == expected
