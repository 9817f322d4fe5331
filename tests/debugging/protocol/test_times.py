"""Times as SDKs write them, and what becomes of a clock that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.identifiers import event_id, span_id
from opsbook.debugging.protocol.times import MOST_AHEAD, MOST_BEHIND, correct, read_time

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.000000Z",
        "2026-03-01T12:00:00.000000000Z",
        "2026-03-01T13:00:00+01:00",
        "2026-03-01 12:00:00",
        "2026-03-01T12:00:00",
        1772366400,
        1772366400.0,
        "1772366400",
        "1772366400.0",
        1772366400000,
    ],
)
def test_forms_of_a_time(written: object) -> None:
    assert read_time(written) == NOON


@pytest.mark.parametrize(
    "written",
    [
        None,
        True,
        "",
        "noon",
        "x" * 100,
        {},
        [],
        float("nan"),
        float("inf"),
        1e300,
        "1e999",
        10**40,
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_time(written: object) -> None:
    assert read_time(written) is None


def test_a_clock_that_is_hours_off_is_set_right() -> None:
    happened = NOON - timedelta(seconds=5)
    for off in (timedelta(hours=3), -timedelta(hours=3), timedelta(days=400)):
        assert correct(happened + off, NOON + off, NOON) == happened


def test_latency_is_no_drift() -> None:
    happened = NOON - timedelta(minutes=40)
    assert correct(happened, NOON - timedelta(minutes=30), NOON) == happened


@pytest.mark.parametrize("off", [MOST_AHEAD * 2, -MOST_BEHIND * 2, timedelta(days=300_000), -timedelta(days=300_000)])
def test_a_time_far_from_receipt_becomes_that_of_receipt(off: timedelta) -> None:
    assert correct(NOON + off, None, NOON) == NOON


def test_without_a_time_it_is_that_of_receipt() -> None:
    assert correct(None, None, NOON) == NOON


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_any_value_is_a_time_near_receipt(value: object) -> None:
    time = correct(read_time(value), read_time(value), NOON)
    assert NOON - MOST_BEHIND <= time <= NOON + MOST_AHEAD


@pytest.mark.parametrize("written", ["9EC79c33ec9942ab8353589fcb2e04dc", "9ec79c33-ec99-42ab-8353-589fcb2e04dc"])
def test_forms_of_an_event_id(written: str) -> None:
    assert event_id(written) == "9ec79c33ec9942ab8353589fcb2e04dc"


@pytest.mark.parametrize(
    "written", [None, 7, "", "0" * 32, "x" * 32, "9" * 31, "9-" * 18, "9ec79c33-ec99-42ab-8353-589fcb2e04d-"]
)
def test_what_is_no_event_id(written: object) -> None:
    assert event_id(written) is None


def test_span_ids() -> None:
    assert span_id("ABCDEF0123456789") == "abcdef0123456789"
    assert span_id("abc") is None
    assert span_id("x" * 16) is None
