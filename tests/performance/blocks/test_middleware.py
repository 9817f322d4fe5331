"""A blocked caller gets nothing of the service, learns nothing of the block, and cannot get around it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Scope

from opsbook import install
from opsbook.core.http.client_address import TrustedProxies
from opsbook.core.settings import Settings
from opsbook.performance import AddressBlocks, RefuseBlocked
from tests.flags.helpers import until
from tests.performance.blocks.conftest import OBEYS_WITHIN_SECONDS, obeys

pytestmark = pytest.mark.anyio

BLOCKED = "203.0.113.7"
OTHER = "198.51.100.7"
REASON = "scrapes the catalogue at night"


@pytest.fixture
def blocked(blocks: AddressBlocks, database: psycopg.Connection) -> AddressBlocks:
    database.execute("insert into address_blocks (network, reason) values ('203.0.113.0/24', %s)", [REASON])
    obeys(blocks, BLOCKED)
    return blocks


def calling(app: RefuseBlocked, address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 4711)), base_url="http://service")


def service() -> Starlette:
    return Starlette(routes=[Route("/", lambda _: PlainTextResponse("served"))])


async def test_a_blocked_caller_is_refused_without_a_reason(blocked: AddressBlocks) -> None:
    app = RefuseBlocked(service(), blocked)
    answer = await calling(app, BLOCKED).get("/")
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.json()["status"] == 403
    assert REASON not in answer.text and "203.0.113" not in answer.text
    assert (await calling(app, BLOCKED).head("/")).content == b""
    assert (await calling(app, OTHER).get("/")).text == "served"


async def test_its_body_is_not_read(blocked: AddressBlocks) -> None:
    async def receive() -> Message:
        raise AssertionError("read")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "http_version": "2", "method": "POST", "client": (BLOCKED, 1), "headers": []}
    await RefuseBlocked(service(), blocked)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert b"connection" not in dict(sent[0]["headers"]), "HTTP/2 has no such header"


async def test_headers_of_its_own_do_not_get_it_in(blocked: AddressBlocks) -> None:
    app = RefuseBlocked(service(), blocked, TrustedProxies.parse("10.0.0.0/8"))
    forged = {"X-Forwarded-For": OTHER, "Forwarded": f"for={OTHER}"}
    assert (await calling(app, BLOCKED).get("/", headers=forged)).status_code == 403
    through = calling(app, "10.0.0.1")
    assert (await through.get("/", headers={"X-Forwarded-For": f"{OTHER}, {BLOCKED}"})).status_code == 403
    assert (await through.get("/", headers={"X-Forwarded-For": f"{BLOCKED}, {OTHER}"})).status_code == 200
    # The proxy wrote the one, the caller the other; whichever was which.
    for ours, theirs in (("X-Forwarded-For", "Forwarded"), ("Forwarded", "X-Forwarded-For")):
        spelled = {"X-Forwarded-For": "{}", "Forwarded": "for={}"}
        both = {ours: spelled[ours].format(BLOCKED), theirs: spelled[theirs].format(OTHER)}
        assert (await through.get("/", headers=both)).status_code == 403


async def test_a_websocket_is_closed_before_it_is_open(blocked: AddressBlocks) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "websocket", "path": "/live", "client": (BLOCKED, 1), "headers": []}
    await RefuseBlocked(service(), blocked)(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_in_front_of_a_service_the_console_stays_open(settings: Settings, database: psycopg.Connection) -> None:
    """Whoever blocks the wrong network must be able to lift it, and health must answer."""
    app = FastAPI()
    app.add_api_route("/", lambda: "served")
    book = install(app, settings=settings)
    database.execute("insert into address_blocks (network) values ('192.0.2.0/24') on conflict do nothing")
    async with _alive(app) as client:
        until(lambda: book.blocks.refuses(["192.0.2.7"]), OBEYS_WITHIN_SECONDS)
        assert (await client.get("/")).status_code == 403
        assert (await client.get("/ofrep/v1/configuration")).status_code == 403
        assert (await client.post("/api/1/envelope/")).status_code == 403
        assert (await client.get("/api/livez")).status_code == 200
        assert (await client.get("/ops/sign-in")).status_code == 200
        database.execute("delete from address_blocks where network = '192.0.2.0/24'")
        until(lambda: not book.blocks.refuses(["192.0.2.7"]), OBEYS_WITHIN_SECONDS)
        assert (await client.get("/")).json() == "served"


async def test_a_request_that_is_not_blocked_costs_little(blocked: AddressBlocks) -> None:
    async def served(scope: Scope, receive: object, send: object) -> None: ...

    app, scope = RefuseBlocked(served, blocked), {"type": "http", "client": (OTHER, 1), "headers": []}

    async def thousand() -> float:
        started = time.perf_counter()
        for _ in range(1000):
            await app(scope, None, None)  # pyright: ignore[reportArgumentType]
        return time.perf_counter() - started

    assert min([await thousand() for _ in range(5)]) < 0.05  # 2 ms at rest


@asynccontextmanager
async def _alive(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 4711))
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        yield client
