"""Rate limits: the runbook's figures, and what is counted."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from backend import rate_limit


def test_the_limits_are_the_runbooks() -> None:
    assert (rate_limit.RATE_LIMIT_PER_MINUTE, rate_limit.RATE_LIMIT_PER_HOUR) == (60, 1000)


def test_a_window_counts_each_client_and_starts_afresh() -> None:
    window = rate_limit.Window(60)
    assert [window.count("a", 0), window.count("a", 59.9), window.count("b", 59.9), window.count("a", 60)] == [
        1,
        2,
        1,
        1,
    ]
    assert window.remaining_seconds(59.9) == 1


def test_who_asks_too_often_is_told_when_to_come_back(start_service: Callable[..., httpx.Client]) -> None:
    service = start_service(RATE_LIMIT_PER_HOUR="5")
    answers = [service.get("/api/auth/me") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3600
    assert service.get("/openapi.json").status_code == 200
