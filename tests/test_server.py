"""The server: alone, in front of a service, and with several processes."""

from __future__ import annotations

import asyncio
import time

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from opsbook import install
from opsbook.core.errors import NotConfigured
from opsbook.core.settings import Settings, load_settings
from opsbook.server import create_app
from tests.serving import serving, serving_app

pytestmark = pytest.mark.anyio


@pytest.fixture
def service() -> FastAPI:
    """A service that has paths of its own, one of them where a careless prefix would swallow it."""
    app = FastAPI()

    @app.get("/")
    async def root() -> str:
        return "the service's own"

    @app.get("/opsx/{rest:path}")
    async def neighbour(rest: str) -> str:
        return rest

    return app


@pytest.fixture
def mounted(service: FastAPI, settings: Settings) -> httpx.AsyncClient:
    """A client of the service with the kit mounted, without its lifespan."""
    install(service, settings=settings)
    return httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://service")


def test_alone_the_root_leads_to_the_console(anonymous: httpx.Client) -> None:
    answer = anonymous.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/ops")


async def test_mounted_each_path_goes_to_whom_it_belongs(mounted: httpx.AsyncClient) -> None:
    assert (await mounted.get("/")).json() == "the service's own"
    assert (await mounted.get("/opsx/a")).json() == "a"
    assert "x-request-id" not in (await mounted.get("/")).headers
    refused = await mounted.get("/api/admin/feature-flags")
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await mounted.get("/api/livez")).text == "ok"


@pytest.mark.parametrize(
    "path", ["/api/admin/users", "/api/flags/of-the-nation", "/api/cron/nightly", "/ofrep/v1", "/ops/x"]
)
async def test_mounted_only_paths_that_it_answers_are_taken(
    service: FastAPI, mounted: httpx.AsyncClient, path: str
) -> None:
    service.add_api_route(path, lambda: "the service's own")
    assert (await mounted.get(path)).json() == "the service's own"


async def test_mounted_the_service_keeps_its_own_errors_and_description(mounted: httpx.AsyncClient) -> None:
    assert (await mounted.get("/nothing")).json() == {"detail": "Not Found"}
    assert "/opsx/{rest}" in (await mounted.get("/openapi.json")).json()["paths"]
    assert "/api/admin/feature-flags" in (await mounted.get("/api/openapi.json")).json()["paths"]


async def test_the_services_lifespan_runs_inside_ours(settings: Settings) -> None:
    service = FastAPI()

    @service.get("/api/orders")
    async def orders() -> str:
        return "an order"

    book = install(service, settings=settings)

    @book.check("orders")
    async def reachable() -> None:
        return

    async with service.router.lifespan_context(service):
        client = httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://service")
        async with asyncio.timeout(10):
            while (await client.get("/api/readyz")).status_code != 200:
                pass
        assert (await client.get("/api/orders")).json() == "an order"
        checks = (await client.get("/api/monitoring/health")).json()["checks"]
        assert "orders" in [check["name"] for check in checks]


def test_a_service_may_be_run_again(settings: Settings, api: httpx.Client, database: psycopg.Connection) -> None:
    service = FastAPI()
    book = install(service, settings=settings)
    password = {"email": "nobody@example.org", "password": "whatever it is"}
    for run in range(2):
        with serving_app(service) as address, httpx.Client(base_url=address, headers=api.headers) as client:
            assert client.get("/api/admin/feature-flags").status_code == 200, "by a token that is looked up"
            token = client.get("/ops/sign-in").text.partition('name="csrf_token" value="')[2][:64]
            assert client.post("/ops/sign-in", data={**password, "csrf_token": token}).status_code == 401
            database.execute("insert into address_blocks (network) values (%s)", [f"192.0.2.{run}/32"])
            deadline = time.monotonic() + 10
            while not book.blocks.refuses([f"192.0.2.{run}"]):
                assert time.monotonic() < deadline, "what is changed is obeyed"
                time.sleep(0.01)


def test_two_servers_share_what_browsers_keep(settings: Settings, server: str) -> None:
    """A form that one process served is taken by another, since they share SECRET_KEY."""
    with serving(settings) as other, httpx.Client() as client:
        token = client.get(f"{server}/ops/sign-in").text.partition('name="csrf_token" value="')[2][:64]
        fields = {"csrf_token": token, "email": "nobody@example.org", "password": "whatever it is"}
        assert client.post(f"{other}/ops/sign-in", data=fields).status_code == 401


def test_without_an_ops_database_it_says_what_to_set() -> None:
    with pytest.raises(NotConfigured, match="OPSBOOK_DATABASE_URL"):
        create_app(load_settings(home="/nonexistent"))
