"""The text of X-Sentry-Rate-Limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.rate_limits import MOST_SECONDS, RateLimit, parse, render, retry_after


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ([], ""),
        ([RateLimit(60)], "60::project"),
        ([RateLimit(60, ("error", "transaction"), "key")], "60:error;transaction:key"),
        ([RateLimit(9, ("error",), "organization", "quota")], "9:error:organization:quota"),
        ([RateLimit(9, ("metric_bucket",), "key", "", ("custom",))], "9:metric_bucket:key::custom"),
        ([RateLimit(1, ("error",)), RateLimit(2, ("log_item",))], "1:error:project, 2:log_item:project"),
    ],
)
def test_limits_are_written_as_sdks_read_them(limits: list[RateLimit], text: str) -> None:
    assert render(limits) == text
    assert parse(text) == limits


def test_a_reason_cannot_break_the_header() -> None:
    text = render([RateLimit(5, ("error",), "key", "a:b,c;d\r\nSet-Cookie: x=é")])
    assert "\n" not in text and text.isascii()
    assert len(parse(text)) == 1


def test_the_longest_limit_is_the_time_to_wait() -> None:
    assert retry_after([RateLimit(5), RateLimit(70), RateLimit(6)]) == 70
    assert retry_after([]) == 60


def test_what_is_no_limit_is_passed_over() -> None:
    assert parse("x:error, -1:error, nan:error, inf:error, , 2.5:error:key") == [RateLimit(3, ("error",), "key")]
    assert parse("1e12")[0].seconds == MOST_SECONDS


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for limit in parse(text):
        assert 0 <= limit.seconds <= MOST_SECONDS
