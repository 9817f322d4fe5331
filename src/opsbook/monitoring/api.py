"""Health over HTTP: for load balancers (`livez`, `readyz`), for monitors (`health`), for people (`monitoring/health`).

Every answer comes from memory; what it costs does not depend on what it reports about.
"""

from __future__ import annotations

from typing import Annotated

import psycopg
from fastapi import APIRouter, Depends, Request, Response
from psycopg_pool import PoolTimeout
from pydantic import BaseModel

from opsbook.core.access.identity import Identity
from opsbook.core.deadline import within
from opsbook.core.errors import Unavailable
from opsbook.core.http.identity import identify
from opsbook.core.runtime import runtime_of
from opsbook.monitoring.answers import DetailedHealth, Health
from opsbook.monitoring.health import Overall
from opsbook.monitoring.monitor import HealthMonitor

IDENTIFY_SECONDS = 0.3
"""How long finding out who asks may take: with the database of sessions frozen, the answer must still come."""

router = APIRouter(prefix="/api", tags=["monitoring"])


class Readiness(BaseModel):
    """Whether this process may be sent requests, and what it still waits for."""

    ready: bool
    waiting_for: list[str]


async def monitor_of(request: Request) -> HealthMonitor:
    """The monitor of the process that serves the request; async, for FastAPI sends plain functions to a thread."""
    return runtime_of(request).get(HealthMonitor)


async def caller(request: Request) -> Identity | None:
    """Who asks; None where that is unknown, or cannot be found out in time."""
    if "authorization" not in request.headers and "cookie" not in request.headers:
        return None
    try:
        return await within(IDENTIFY_SECONDS, identify(request))
    except (Unavailable, psycopg.Error, PoolTimeout):
        return None


Monitor = Annotated[HealthMonitor, Depends(monitor_of)]


@router.head("/health", include_in_schema=False)
@router.get("/health", response_model=Health, responses={503: {"model": Health}})
async def health(monitor: Monitor) -> Response:
    """Whether the service is well: 200 for ok and degraded, 503 for down."""
    answer = Health.of(monitor.report())
    return _json(answer.model_dump_json(), well=answer.status is not Overall.DOWN)


@router.head("/monitoring/health", include_in_schema=False)
@router.get("/monitoring/health", response_model=DetailedHealth, responses={503: {"model": DetailedHealth}})
async def detailed_health(monitor: Monitor, identity: Annotated[Identity | None, Depends(caller)]) -> Response:
    """The same with each check's status, latency and age, and the connection pool."""
    answer = DetailedHealth.of(monitor.report())
    return _json(answer.json_for(authenticated=identity is not None), well=answer.status is not Overall.DOWN)


@router.head("/livez", include_in_schema=False)
@router.get("/livez", response_class=Response)
async def livez() -> Response:
    """Whether this process answers at all; looks at nothing, so that a dead database restarts no healthy process."""
    return Response("ok", media_type="text/plain", headers={"Cache-Control": "no-store"})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(monitor: Monitor) -> Response:
    """Whether this process should be sent requests: 200, or 503 with what it waits for."""
    waiting = monitor.waiting_for()
    return _json(Readiness(ready=not waiting, waiting_for=list(waiting)).model_dump_json(), well=not waiting)


def _json(text: str, *, well: bool) -> Response:
    return Response(
        text,
        status_code=200 if well else 503,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
