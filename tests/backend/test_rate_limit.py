"""Rate limits: the runbook's figures, enforced to the request, and changed while the service runs."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from backend import rate_limit
from tests.command_line import opsbook
from tests.performance.limits.service import until


def test_the_limits_are_the_runbooks() -> None:
    assert (rate_limit.RATE_LIMIT_PER_MINUTE, rate_limit.RATE_LIMIT_PER_HOUR) == (60, 1000)
    assert rate_limit.DEFAULT.limits == {"per_minute": 60, "per_hour": 1000}


def test_the_61st_request_is_told_when_to_come_back(start_service: Callable[..., httpx.Client], ops_url: str) -> None:
    service = start_service(RATE_LIMIT_PER_MINUTE="", RATE_LIMIT_PER_HOUR="")
    answers = [service.get("/api/auth/me") for _ in range(65)]
    assert [answer.status_code for answer in answers] == [401] * 60 + [429] * 5
    refused = answers[-1]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == '"default-minute";q=60;w=60, "default-hour";q=1000;w=3600'
    assert refused.headers["ratelimit"].startswith('"default-minute";r=0;t=')
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert refused.json()["violated-policies"] == ["default-minute"]
    assert service.get("/openapi.json").status_code == 200
    assert service.get("/api/health").status_code == 200

    raised = opsbook("limits", "set", "default", "--per-minute", "70", "--yes", OPSBOOK_DATABASE_URL=ops_url)
    assert raised.code == 0, raised
    until(lambda: service.get("/api/auth/me").status_code == 401)
    assert [service.get("/api/auth/me").status_code for _ in range(10)] == [401] * 9 + [429]


def test_the_environment_overrides_the_figures(start_service: Callable[..., httpx.Client]) -> None:
    service = start_service(RATE_LIMIT_PER_HOUR="5")
    answers = [service.get("/api/auth/me") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3600
