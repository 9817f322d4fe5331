"""How values read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from opsbook.web.display import FieldChange, ago, browser, count, differences, distance, duration, percent, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "just now"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (86_400, "1 d ago"),
        (-7200, "in 2 h"),
        (4e7, "1 y ago"),
    ],
)
def test_a_distance_is_told_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert distance(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00002, "20 µs"),
        (0.00041, "0.4 ms"),
        (0.0123, "12 ms"),
        (1.34, "1.3 s"),
        (600, "10 min"),
        (12_600, "3.5 h"),
        (None, "–"),
    ],
)
def test_a_duration_is_told_in_the_unit_that_keeps_it_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(Decimal("25.00"), "25 %"), (0.01, "0.01 %"), (100.0, "100 %"), (0, "0 %")]
)
def test_a_percentage_has_no_needless_zeros(value: Decimal | float, text: str) -> None:
    assert percent(value) == text


def test_a_time_carries_utc_for_people_and_programs() -> None:
    moment = datetime(2025, 1, 31, 15, 0, tzinfo=UTC)
    shown = ago(moment, now=moment + timedelta(minutes=3))
    assert 'datetime="2025-01-31T15:00:00.000Z"' in shown
    assert 'title="2025-01-31 15:00:00 UTC"' in shown
    assert ">3 min ago<" in shown


def test_differences_name_what_changed_came_and_went() -> None:
    before = {"a": 1, "b": "x", "gone": None, "same": [1]}
    after = {"a": 2.50, "b": "x", "new": True, "same": [1]}
    assert differences(before, after) == [
        FieldChange("a", "1", "2.5"),
        FieldChange("new", None, "true"),
        FieldChange("gone", "null", None),
    ]


def test_ignored_fields_are_no_difference() -> None:
    assert differences({"revision": 1}, {"revision": 2}, ["revision"]) == []


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
            "Chrome on Linux",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
        ("curl/8.5.0", "curl"),
        (None, "Unknown program"),
    ],
)
def test_a_browser_is_named_in_a_few_words(user_agent: str | None, name: str) -> None:
    assert browser(user_agent) == name


@pytest.mark.parametrize(
    ("octets", "text"), [(0, "0 B"), (999, "999 B"), (3400, "3.4 kB"), (512e6, "512 MB"), (2e15, "2,000.0 TB")]
)
def test_a_size_is_told_in_the_largest_unit_that_fits(octets: float, text: str) -> None:
    assert size(octets) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (1.5, "1.5"), (9_999, "9,999"), (12_345, "12.3 k"), (4e6, "4 M"), (2e9, "2 G")],
)
def test_a_count_is_short(value: float, text: str) -> None:
    assert count(value) == text
