"""An exhausted pool answers 503 with `Retry-After` under load, whatever pool it is, and shows in health and advice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from opsbook import install
from opsbook.core.settings import Settings
from tests.conftest import ADMIN_TOKEN
from tests.serving import serving_app

SIZE = 2
ASKING = 8
PATIENCE_SECONDS = 0.2


@dataclass
class Service:
    """A service with one route that keeps a connection until it is let go."""

    app: FastAPI
    pool: Any
    go: threading.Event


def make(kind: str, url: str) -> Service:
    return {"sqlalchemy": _sqlalchemy, "async sqlalchemy": _async_sqlalchemy, "psycopg": _psycopg}[kind](url)


def _sqlalchemy(url: str) -> Service:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=SIZE,
        max_overflow=0,
        pool_timeout=PATIENCE_SECONDS,
    )
    app, go = FastAPI(), threading.Event()

    @app.get("/keep")
    def keep() -> str:
        with engine.connect() as connection:
            connection.execute(text("select 1"))
            go.wait(30)
        return "kept"

    return Service(app, engine, go)


def _async_sqlalchemy(url: str) -> Service:
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=SIZE,
        max_overflow=0,
        pool_timeout=PATIENCE_SECONDS,
    )
    app, go = FastAPI(), threading.Event()

    @app.get("/keep")
    async def keep() -> str:
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))
            await asyncio.to_thread(go.wait, 30)
        return "kept"

    return Service(app, engine, go)


def _psycopg(url: str) -> Service:
    pool = AsyncConnectionPool(url, min_size=SIZE, max_size=SIZE, timeout=PATIENCE_SECONDS, open=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            await pool.wait(30)
            yield

    app, go = FastAPI(lifespan=lifespan), threading.Event()

    @app.get("/keep")
    async def keep() -> str:
        async with pool.connection() as connection:
            await connection.execute("select 1")
            await asyncio.to_thread(go.wait, 30)
        return "kept"

    return Service(app, pool, go)


@pytest.mark.parametrize("kind", ["sqlalchemy", "async sqlalchemy", "psycopg"])
def test_whoever_finds_none_free_is_told_when_to_come_back(kind: str, settings: Settings, service_url: str) -> None:
    service = make(kind, service_url)
    install(service.app, pool=service.pool, settings=settings)
    with serving_app(service.app) as address, httpx.Client(base_url=address, timeout=30) as client:
        client.headers["Authorization"] = f"Bearer {ADMIN_TOKEN}"
        refused, kept = ask_at_once(client, service.go, meanwhile=lambda: see_in_health(client))
        assert (len(kept), len(refused)) == (SIZE, ASKING - SIZE)
        for answer in refused:
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["detail"] == "all database connections are in use; try again shortly"
        assert client.get("/keep").status_code == 200, "let go, it answers again"


def test_a_service_that_answers_it_itself_is_left_to(settings: Settings, service_url: str) -> None:
    service = make("sqlalchemy", service_url)

    @service.app.exception_handler(SQLAlchemyError)
    async def own(_: Request, __: Exception) -> Response:
        return PlainTextResponse("come back on Monday", 503)

    install(service.app, pool=service.pool, settings=settings)
    with serving_app(service.app) as address, httpx.Client(base_url=address, timeout=30) as client:
        refused, _ = ask_at_once(client, service.go)
        assert {answer.text for answer in refused} == {"come back on Monday"}


def ask_at_once(
    client: httpx.Client, go: threading.Event, meanwhile: Callable[[], None] = lambda: None
) -> tuple[list[httpx.Response], list[httpx.Response]]:
    """Those who were refused, and those who were served once the first were let go."""
    refused: list[httpx.Response] = []
    enough = threading.Event()

    def ask() -> httpx.Response:
        answer = client.get("/keep")
        if answer.status_code != 200:
            refused.append(answer)
            if len(refused) == ASKING - SIZE:
                enough.set()
        return answer

    with ThreadPoolExecutor(ASKING) as threads:
        asked = [threads.submit(ask) for _ in range(ASKING)]
        try:
            assert enough.wait(20)
            meanwhile()
        finally:
            go.set()
        answers = [each.result(30) for each in asked]
    return refused, [answer for answer in answers if answer.status_code == 200]


def see_in_health(client: httpx.Client) -> None:
    """The exhausted pool makes the service degraded, and not down: it must stay in its load balancer."""
    deadline = time.monotonic() + 15
    while True:
        answer = client.get("/api/monitoring/health")
        (check,) = [check for check in answer.json()["checks"] if check["name"] == "pool"]
        if check["status"] == "warn":
            break
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["pool"]["exhausted"] is True
