"""The health routes as a load balancer, a monitor and a person call them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from opsbook.monitoring.health import Finding, Status
from opsbook.monitoring.monitor import HealthMonitor
from tests.monitoring.stage import ADMIN_TOKEN, Databases, served

pytestmark = pytest.mark.anyio


async def test_health_is_what_the_runbook_expects(databases: Databases) -> None:
    async with served(**databases.settings) as here:
        answer = await here.client.get("/api/health")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert list(body) == ["status", "database", "supabase", "timestamp"]
        assert (body["status"], body["database"], body["supabase"]) == ("ok", "connected", "not_configured")
        assert body["timestamp"].endswith("Z")
        age = datetime.now(UTC) - datetime.fromisoformat(body["timestamp"])
        assert abs(age.total_seconds()) < 5


async def test_detailed_health_tells_latency_and_age_of_each_check(databases: Databases) -> None:
    async with served(**databases.settings) as here:
        body = (await here.client.get("/api/monitoring/health")).json()
        assert list(body) == ["status", "database", "supabase", "timestamp", "checks", "pool"]
        assert body["pool"] is None
        database = next(check for check in body["checks"] if check["name"] == "database")
        assert set(database) == {"name", "status", "critical", "latency_ms", "age_ms"}
        assert 0 < database["latency_ms"] < 1000
        assert 0 <= database["age_ms"] < 2000


@pytest.mark.parametrize(
    ("authorization", "knows"),
    [(f"Bearer {ADMIN_TOKEN}", True), ("Bearer wrong", False), ("Basic eDp5", False), (None, False)],
)
async def test_details_are_for_the_known_only(databases: Databases, authorization: str | None, knows: bool) -> None:
    monitor = HealthMonitor()

    async def payments() -> None:
        raise RuntimeError("10.1.2.3 refused")

    monitor.add("payments", payments)
    async with served(monitor, **databases.settings) as here:
        headers = {"Authorization": authorization} if authorization else {}
        answer = await here.client.get("/api/monitoring/health", headers=headers)
        assert answer.status_code == 200
        assert ("10.1.2.3 refused" in answer.text) is knows
        assert ("PostgreSQL 18" in answer.text) is knows


async def test_a_check_of_ones_own_decides_by_being_critical(databases: Databases) -> None:
    async def payments() -> Finding:
        return Finding(Status.DOWN)

    for critical, expected in ((True, (503, "down")), (False, (200, "degraded"))):
        monitor = HealthMonitor()
        monitor.add("payments", payments, critical=critical)
        async with served(monitor, **databases.settings) as here:
            for path in ("/api/health", "/api/monitoring/health"):
                answer = await here.client.get(path)
                assert (answer.status_code, answer.json()["status"]) == expected


@pytest.mark.parametrize("path", ["/api/health", "/api/monitoring/health", "/api/livez", "/api/readyz"])
async def test_head_answers_as_get_does(databases: Databases, path: str) -> None:
    async with served(**databases.settings) as here:
        answer = await here.client.head(path)
        assert answer.status_code == (await here.client.get(path)).status_code == 200
        assert answer.headers["cache-control"] == "no-store"


async def test_liveness_needs_nothing_and_readiness_waits() -> None:
    loaded = False
    monitor = HealthMonitor()
    monitor.ready_when("flags", lambda: loaded)
    async with served(monitor, database_url="postgresql://nobody@127.0.0.1:1/none") as here:
        live = await here.client.get("/api/livez")
        assert (live.status_code, live.text) == (200, "ok")
        ready = await here.client.get("/api/readyz")
        assert ready.status_code == 503
        assert ready.json() == {"ready": False, "waiting_for": ["database", "flags"]}
        loaded = True
        assert (await here.client.get("/api/readyz")).json()["waiting_for"] == ["database"]
        assert (await here.client.get("/api/health")).json()["database"] == "disconnected"


async def test_the_routes_are_described_for_machines(databases: Databases) -> None:
    async with served(**databases.settings) as here:
        paths = here.app.openapi()["paths"]
        assert set(paths) == {"/api/health", "/api/monitoring/health", "/api/livez", "/api/readyz"}
        assert set(paths["/api/health"]["get"]["responses"]) == {"200", "503"}


async def test_a_server_may_be_started_again(databases: Databases) -> None:
    monitor = HealthMonitor()
    for _ in range(2):
        async with served(monitor, **databases.settings) as here:
            assert (await here.client.get("/api/health")).json()["status"] == "ok"
