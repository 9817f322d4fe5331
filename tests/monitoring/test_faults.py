"""What health says while a database is frozen, killed, restarted, or loses a connection."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from opsbook import install
from opsbook.core.settings import load_settings
from opsbook.monitoring.health import Overall, Status
from opsbook.monitoring.probe import APPLICATION_NAME
from tests.monitoring.stage import ADMIN_TOKEN, Databases, served, until

pytestmark = pytest.mark.anyio

NOTICED = 2.0
"""Seconds within which a failure must show."""
REFUSED = 5.0
"""Seconds within which a lever that cannot be pulled must say so."""
RETURNED = 1.2
"""Seconds within which a return must show: well within two."""


async def test_a_frozen_service_database_is_down_and_back_in_time(calm: Databases) -> None:
    async with served(**calm.settings) as here:
        assert (await here.client.get("/api/health")).json()["database"] == "connected"
        calm.freeze("service")
        await until(lambda: here.monitor.report().status is Overall.DOWN, NOTICED)
        answer = await here.client.get("/api/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "down"
        assert answer.json()["database"] == "disconnected"
        calm.thaw()
        await until(lambda: here.status("database") is Status.OK, RETURNED)
        assert (await here.client.get("/api/health")).status_code == 200


async def test_a_long_freeze_is_returned_from_as_fast_and_piles_nothing_up(calm: Databases) -> None:
    async with served(**calm.settings) as here:
        calm.freeze("service")
        await until(lambda: here.monitor.report().status is Overall.DOWN, NOTICED)
        until_given_up = time.monotonic() + 6
        while time.monotonic() < until_given_up:
            assert here.status("database") is Status.DOWN
            runs = [task for task in asyncio.all_tasks() if task.get_name() == "health check database"]
            assert len(runs) <= 2
            await asyncio.sleep(0.05)
        calm.thaw()
        await until(lambda: here.status("database") is Status.OK, RETURNED)
        with psycopg.connect(calm.urls["service"]) as connection:
            counted = connection.execute(
                "select count(*) from pg_stat_activity where application_name = %s", [APPLICATION_NAME]
            ).fetchone()
        assert counted is not None
        assert counted[0] <= 2


async def test_a_thousand_callers_of_a_frozen_service_get_the_right_answer_at_once(calm: Databases) -> None:
    async with served(**calm.settings) as here:
        calm.freeze("service")
        calm.freeze("ops")
        await until(lambda: here.status("ops_database") is Status.DOWN, NOTICED)
        await until(lambda: here.monitor.report().status is Overall.DOWN, NOTICED)

        async def ask() -> float:
            started = time.monotonic()
            assert (await here.get("/api/health")).startswith(b'503 {"status":"down","database":"disconnected"')
            return time.monotonic() - started

        assert max(await asyncio.gather(*(ask() for _ in range(1000)))) <= 1.5


async def test_finding_out_who_asks_never_holds_up_the_answer(calm: Databases) -> None:
    async with served(**calm.settings) as here:
        calm.freeze("ops")
        await until(lambda: here.status("ops_database") is Status.DOWN, NOTICED)
        started = time.monotonic()
        session = {"Cookie": "__Host-opsbook=a-session-nobody-can-look-up-now"}
        answer = await here.client.get("/api/monitoring/health", headers=session)
        assert time.monotonic() - started < 0.6
        assert all("detail" not in check for check in answer.json()["checks"])
        known = await here.client.get("/api/monitoring/health", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        assert "no answer within 1 s" in [check["detail"] for check in known.json()["checks"]]


async def test_a_frozen_ops_database_is_degraded_not_down(calm: Databases) -> None:
    async with served(**calm.settings) as here:
        calm.freeze("ops")
        await until(lambda: here.status("ops_database") is Status.DOWN, NOTICED)
        answer = await here.client.get("/api/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert (await here.client.get("/api/readyz")).status_code == 200


async def test_levers_on_a_frozen_ops_database_are_refused_in_time(calm: Databases) -> None:
    settings = load_settings(None, **calm.settings, admin_token=ADMIN_TOKEN, home=Path("/nonexistent"))
    service = FastAPI()
    install(service, settings=settings)
    transport, headers = httpx.ASGITransport(service), {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as client,
    ):
        lever = "/api/admin/feature-flags"
        assert (await client.get(lever)).status_code == 200
        calm.freeze("ops")
        started = time.monotonic()
        for answer in await asyncio.gather(client.get(lever), client.post(lever, json={"name": "frozen"})):
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
        assert time.monotonic() - started < REFUSED
        calm.thaw()


async def test_a_killed_server_is_down_and_back_in_time(calm: Databases) -> None:
    async with served(**calm.settings) as here:
        calm.kill("service")
        await until(lambda: here.monitor.report().status is Overall.DOWN, NOTICED)
        calm.start("service")  # not in a thread: the server ends with the thread that started it
        await until(lambda: here.status("database") is Status.OK, RETURNED)


async def test_a_connection_that_was_ended_is_no_outage(calm: Databases) -> None:
    seen: list[Status] = []
    async with served(**calm.settings) as here:
        with psycopg.connect(calm.urls["service"], autocommit=True) as connection:
            ended = connection.execute(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = %s",
                [APPLICATION_NAME],
            ).fetchone()
        assert ended is not None
        assert ended[0] >= 1
        before = here.monitor.report().timestamp

        def looked_again() -> bool:
            report = here.monitor.report()
            seen.append(report.status_of("database"))
            return all(r.checked_at and r.checked_at > before for r in report.checks if r.critical)

        await until(looked_again, 2)
        assert Status.DOWN not in seen
        assert here.status("database") is Status.OK


async def test_a_server_that_starts_with_its_databases_gone_answers_and_recovers(calm: Databases) -> None:
    calm.freeze("service")
    async with served(**calm.settings) as here:
        assert (await here.client.get("/api/health")).status_code == 503
        assert (await here.client.get("/api/livez")).status_code == 200
        assert (await here.client.get("/api/readyz")).json() == {"ready": False, "waiting_for": ["database"]}
        calm.thaw()
        await until(lambda: here.monitor.report().status is not Overall.DOWN, RETURNED)
        assert (await here.client.get("/api/readyz")).status_code == 200


async def test_stopping_with_the_databases_frozen_takes_no_more_than_two_seconds(calm: Databases) -> None:
    async with served(**calm.settings) as here:
        calm.freeze("service")
        calm.freeze("ops")
        await until(lambda: here.monitor.report().status is Overall.DOWN, NOTICED)
        started = time.monotonic()
        await here.monitor.stop()
        assert time.monotonic() - started < 2
        calm.thaw()
