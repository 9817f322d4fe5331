"""In front of an app: what callers are told, whom requests count against, which requests are limited at all."""

from __future__ import annotations

import re
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.authentication import BaseUser, SimpleUser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import opsbook
from opsbook.core.errors import Invalid
from opsbook.core.http.client_address import TrustedProxies
from opsbook.performance.limits import limiter
from opsbook.performance.limits.answer import Item, headers_of
from opsbook.performance.limits.decision import Standing, Window
from opsbook.performance.limits.limiter import RateLimits
from opsbook.performance.limits.middleware import LimitMiddleware
from opsbook.performance.limits.policy import RateLimit
from opsbook.performance.limits.terms import Override, terms_of
from tests.performance.limits.adversary import VirtualClock
from tests.performance.limits.asked import Answer, ask, well

pytestmark = pytest.mark.anyio

ITEM = re.compile(r'"(?P<name>[ -~]+?)"(?P<parameters>(?:;[a-z]+=\d+)+)')


async def test_every_answer_says_how_its_caller_stands() -> None:
    app = limited(RateLimit("default", per_minute=60, per_hour=1000))
    answer = await ask(app)
    assert answer.headers["ratelimit-policy"] == '"default-minute";q=60;w=60, "default-hour";q=1000;w=3600'
    assert answer.headers["ratelimit"] == '"default-minute";r=59;t=60, "default-hour";r=999;t=3600'
    assert "retry-after" not in answer.headers


async def test_a_refusal_says_which_limit_and_when_to_come_back() -> None:
    clock = VirtualClock()
    app = limited(RateLimit("default", per_minute=2, per_hour=1000), clock=clock)
    for _ in range(2):
        assert (await ask(app)).status == 200
        clock.milliseconds += 300
    answer = await ask(app)
    assert (answer.status, answer.headers["retry-after"]) == (429, "60")
    assert answer.headers["ratelimit"] == '"default-minute";r=0;t=60', "no window's t lies beyond Retry-After"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Too many requests",
        "status": 429,
        "detail": "more than 2 in a minute; come back in 60 s",
        "request_id": None,
        "violated-policies": ["default-minute"],
    }
    clock.milliseconds += 59_399
    assert (await ask(app)).status == 429
    clock.milliseconds += 1
    assert (await ask(app)).status == 200


def test_fields_are_structured_lists_of_strings() -> None:
    (_, policy), (_, limit) = headers_of([Item('a"b\\c', Window(5, 2.5), Standing(0.0, 3, 0.2))])
    assert policy == rb'"a\"b\\c-2.5s";q=5;w=3'
    assert limit == rb'"a\"b\\c-2.5s";r=3;t=1'
    for field in (policy, limit):
        assert ITEM.fullmatch(field.decode())


async def test_ipv6_callers_count_by_their_64() -> None:
    app = limited(RateLimit("p", per_minute=1))
    assert (await ask(app, client="2001:db8:1:2::1")).status == 200
    assert (await ask(app, client="2001:db8:1:2:ffff::9")).status == 429
    assert (await ask(app, client="2001:db8:1:3::1")).status == 200


async def test_forwarded_addresses_count_where_the_proxy_is_trusted_alone() -> None:
    async def statuses(proxies: TrustedProxies) -> list[int]:
        app = limited(RateLimit("p", per_minute=1), proxies=proxies)
        headers = [[(b"x-forwarded-for", f"192.0.2.{number}".encode())] for number in range(3)]
        return [(await ask(app, client="10.0.0.1", headers=each)).status for each in headers]

    assert await statuses(TrustedProxies.parse("10.0.0.0/8")) == [200, 200, 200]
    assert await statuses(TrustedProxies()) == [200, 429, 429]


async def test_header_bombs_are_counted_like_anybody() -> None:
    app = limited(
        RateLimit("address", per_minute=3),
        RateLimit("key", per_minute=2, key="api_key"),
        proxies=TrustedProxies.parse("10.0.0.0/8"),
    )
    bomb = [
        (b"x-forwarded-for", b"1.2.3.4," * 200_000 + b"192.0.2.1"),
        (b"forwarded", b'for="' * 100_000),
        (b"authorization", b"Bearer " + b"\xff" * 2**20),
    ]
    assert [(await ask(app, client="10.0.0.1", headers=bomb)).status for _ in range(4)] == [200, 200, 429, 429]


async def test_policies_on_one_request_are_decided_together() -> None:
    app = limited(RateLimit("wide", per_minute=5), RateLimit("tight", per_minute=1, key="route"))
    assert (await ask(app, client="192.0.2.1")).status == 200
    refused = await ask(app, client="192.0.2.2")
    assert refused.json["violated-policies"] == ["tight-minute"]
    assert refused.headers["ratelimit-policy"] == '"wide-minute";q=5;w=60, "tight-minute";q=1;w=60'
    answer = await ask(app, "/other", client="192.0.2.2")
    assert answer.headers["ratelimit"] == '"wide-minute";r=4;t=60, "tight-minute";r=0;t=60'


async def test_costs_paths_methods_and_exemptions() -> None:
    def cost(scope: Scope) -> int:
        return int(scope["path"].rpartition("/")[2])

    policy = RateLimit(
        "p", per_minute=10, cost=cost, paths=["/api/*"], methods=["POST"], exempt=["198.51.100.0/24", "2001:db8::/32"]
    )
    app = limited(policy)
    assert "ratelimit" not in (await ask(app, "/other/1", method="POST")).headers
    assert "ratelimit" not in (await ask(app, "/api/1")).headers
    assert "ratelimit" not in (await ask(app, "/api/1", method="POST", client="198.51.100.7")).headers
    assert "ratelimit" not in (await ask(app, "/api/1", method="POST", client="2001:db8::7")).headers
    assert "ratelimit" not in (await ask(app, "/api/0", method="POST")).headers
    statuses = [(await ask(app, f"/api/{each}", method="POST")).status for each in (7, 4, 3, 1, 11)]
    assert statuses == [200, 429, 200, 429, 429]


async def test_an_exemption_is_that_address_and_nobody_elses() -> None:
    app = limited(RateLimit("p", per_minute=1, exempt=["2001:db8::7", "2001:db8:1::"]))
    for client, is_exempt in (("2001:db8::7", True), ("2001:db8::8", False), ("2001:db8:1::9", False)):
        assert ("ratelimit" not in (await ask(app, client=client)).headers) is is_exempt, client


async def test_a_forged_header_does_not_make_a_caller_an_exempt_proxy() -> None:
    inside = RateLimit("p", per_minute=1, exempt=["10.0.0.0/8"])
    app = limited(inside, proxies=TrustedProxies.parse("10.0.0.0/8"))
    forged = [(b"x-forwarded-for", b"198.51.100.1"), (b"forwarded", b"for=192.0.2.1")]
    assert [(await ask(app, client="10.0.0.1", headers=forged)).status for _ in range(2)] == [200, 429]
    honest = [(b"x-forwarded-for", b"10.1.1.1")]
    assert [(await ask(app, client="10.0.0.1", headers=honest)).status for _ in range(2)] == [200, 200]


async def test_long_keys_are_told_apart_and_not_kept() -> None:
    app = limited(RateLimit("p", per_minute=1, key=lambda scope: scope["path"]))
    tracemalloc.start()
    try:
        for number in range(20):
            assert (await ask(app, f"/{'x' * 2**20}{number}")).status == 200
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2**20
    assert (await ask(app, f"/{'x' * 2**20}7")).status == 429


async def test_whoever_takes_an_address_for_a_name_uses_up_nobodys_limit() -> None:
    app = limited(RateLimit("p", per_minute=1, key="user"))
    named = type("User", (), {"is_authenticated": True, "identity": "203.0.113.9"})
    assert (await ask(app, user=named, client="198.51.100.1")).status == 200
    assert (await ask(app, client="203.0.113.9")).status == 200


async def test_a_user_of_whom_starlette_knows_no_identity_goes_by_what_is_there() -> None:
    class User(BaseUser):
        is_authenticated = True  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
        display_name = "Ann"  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    app = limited(RateLimit("p", per_minute=1, key="user", exempt=["user Bob"]))
    assert [(await ask(app, user=User(), client=f"192.0.2.{n}")).status for n in range(2)] == [200, 429]
    assert [(await ask(app, user=SimpleUser("Bob"))).status for _ in range(2)] == [200, 200]


async def test_keys_by_credential_by_user_by_route_and_by_function() -> None:
    async def statuses(key: Any, *requests: dict[str, Any]) -> list[int]:
        app = limited(RateLimit("p", per_minute=1, key=key))
        return [(await ask(app, **request)).status for request in requests]

    def bearing(token: bytes) -> dict[str, Any]:
        return {"headers": [(b"authorization", b"Bearer " + token)]}

    assert await statuses("api_key", bearing(b"a"), bearing(b"b"), bearing(b"a"), {}, {}) == [200, 200, 429, 200, 429]
    assert await statuses("api_key", {"headers": [(b"x-api-key", b"a")]}, bearing(b"a")) == [200, 429]
    ann, bob = ({"user": type("User", (), {"is_authenticated": True, "identity": name})} for name in ("ann", "bob"))
    assert await statuses("user", ann, bob, ann, {}, {}) == [200, 200, 429, 200, 429]
    assert await statuses("route", {"path": "/a"}, {"path": "/b"}, {"path": "/a", "client": "::1"}) == [200, 200, 429]
    assert await statuses(lambda scope: None, {}, {}, {}) == [200, 200, 200]


async def test_no_credential_is_kept() -> None:
    limits = RateLimits([RateLimit("p", per_minute=1, key="api_key")])
    for _ in range(3):
        await ask(LimitMiddleware(well, limits), headers=[(b"authorization", b"Bearer s3cret-token")])
    tally = limits.counts.take()["p"]
    assert (tally.admitted, tally.refused) == (1, 2)
    assert "s3cret" not in repr(tally)
    assert list(tally.near_keys.values()) == [1.0]


async def test_what_is_counted_of_a_flood_stays_small() -> None:
    limits = RateLimits([RateLimit("p", per_minute=1, key=lambda scope: scope["path"])])
    for number in range(1500):
        for _ in range(2):
            await ask(LimitMiddleware(well, limits), f"/{number}")
    tally = limits.counts.take()["p"]
    assert (tally.admitted, tally.refused, len(tally.refused_keys)) == (1500, 1500, 1000)


async def test_a_mode_of_observe_tells_callers_nothing() -> None:
    limits = RateLimits([RateLimit("p", per_minute=1), RateLimit("q", per_minute=3)])
    limits.override({"p": Override({}, "observe")})
    app = LimitMiddleware(well, limits)
    answers = [await ask(app) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"q-minute";q=3;w=60'}
    assert limits.counts.take()["p"].refused == 3


async def test_what_is_no_http_request_passes() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    middleware = LimitMiddleware(app, [RateLimit("p", per_minute=1)])
    for kind in ("lifespan", "websocket", "websocket"):
        await middleware({"type": kind}, _nothing, _nothing)
    assert seen == ["lifespan", "websocket", "websocket"]


@pytest.mark.parametrize("with_middleware", [True, False])
async def test_single_routes_have_limits_of_their_own(with_middleware: bool) -> None:
    sign_in = RateLimit("sign-in", per_minute=2)
    app = FastAPI()
    app.add_api_route("/open", lambda: "well")
    app.add_api_route("/sign-in", lambda: "well", dependencies=[Depends(opsbook.limited(sign_in))])
    if with_middleware:
        app.add_middleware(LimitMiddleware, limits=[RateLimit("default", per_minute=100)])
    client = client_of(app)
    answers = [await client.get("/sign-in") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[-1].headers
    assert answers[-1].json()["detail"].startswith("more than 2 in a minute; come back in")
    assert refused["content-type"] == ("application/problem+json" if with_middleware else "application/json")
    assert 1 <= int(refused["retry-after"]) <= 60
    assert '"sign-in-minute";r=0' in refused["ratelimit"]
    assert (await client.get("/open")).status_code == 200
    if with_middleware:
        assert answers[-1].json()["violated-policies"] == ["sign-in-minute"]
        assert answers[0].headers["ratelimit"].startswith('"default-minute";r=99')


async def test_what_an_app_makes_of_a_refusal_is_not_sent() -> None:
    app = FastAPI()
    app.add_api_route("/", lambda: "well", dependencies=[Depends(opsbook.limited(RateLimit("p", per_minute=1)))])
    app.add_exception_handler(Exception, lambda request, error: PlainTextResponse("oops", 500))
    client = client_of(LimitMiddleware(app))
    answers = [await client.get("/") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["violated-policies"] == ["p-minute"]


async def test_a_failure_of_the_app_stays_one() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("of the app")

    with pytest.raises(ValueError, match="of the app"):
        await ask(LimitMiddleware(failing, [RateLimit("p", per_minute=1)]))


def test_what_another_thread_sets_meanwhile_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RateLimits([RateLimit("p", per_minute=5)])

    def interrupted(*given: Any) -> Any:
        monkeypatch.setattr(limiter, "terms_of", terms_of)
        found = terms_of(*given)
        limits.override({"p": Override({"per_minute": 2})})
        limits.declare(RateLimit("q", per_minute=1))
        return found

    monkeypatch.setattr(limiter, "terms_of", interrupted)
    limits.override({"p": Override({"per_minute": 3})})
    assert [limits.windows_of(name)[0].limit for name in ("p", "q")] == [2, 1]


async def test_a_limit_by_user_goes_by_whom_a_dependency_found() -> None:
    def known(request: Request) -> None:
        request.scope["user"] = type("User", (), {"is_authenticated": True, "identity": request.headers["x-name"]})()

    app = FastAPI()
    by_user = opsbook.limited(RateLimit("by-user", per_minute=1, key="user"))
    app.add_api_route("/", lambda: "well", dependencies=[Depends(known), Depends(by_user)])
    client = client_of(app)
    names = ["ann", "bob", "ann"]
    answers = [await client.get("/", headers={"x-name": name}) for name in names]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "p"},
        {"name": "p", "per_minute": 0},
        {"name": "p", "per_day": 10**7},
        {"name": "p", "per_minute": 5, "per_day": 100, "cost": 6},
        {"name": "p", "per_minute": 5, "cost": -1},
        {"name": 'p"', "per_minute": 1},
        {"name": "p\n", "per_minute": 1},
        {"name": "", "per_minute": 1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        RateLimit(**fields)


def test_two_policies_have_two_names() -> None:
    with pytest.raises(Invalid, match="two rate limits"):
        RateLimits([RateLimit("p", per_minute=1), RateLimit("p", per_minute=2)])
    RateLimits([RateLimit("p", per_minute=1), RateLimit("p", per_minute=1)])


async def test_a_change_ends_when_its_time_is_over() -> None:
    clock = VirtualClock()
    limits = RateLimits([RateLimit("p", per_minute=5)], clock=clock)
    app = LimitMiddleware(well, limits)
    limits.override({"p": Override({"per_minute": 2, "per_hour": 7}, "enforce", clock() + 30)})
    assert 'q=2;w=60, "p-hour";q=7' in (await ask(app)).headers["ratelimit-policy"]
    clock.milliseconds += 30_000
    answer: Answer = await ask(app)
    assert answer.headers["ratelimit"] == '"p-minute";r=3;t=30', "and the history is kept"


def limited(
    *policies: RateLimit, clock: Callable[[], float] = time.monotonic, proxies: TrustedProxies | None = None
) -> LimitMiddleware:
    return LimitMiddleware(well, RateLimits(policies, clock=clock, proxies=proxies))


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


async def _nothing(*_: Any) -> Any:
    return None
