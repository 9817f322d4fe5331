"""HTTP of the connection pools."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from opsbook.core.access import Identity, Role
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.database.pool.overview import PoolOverview, pool_overview, service_database
from opsbook.database.pool.service import Poolers

router = APIRouter(tags=["Connection pools"], responses=problems(400, 401, 403, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "database:read"))]


@router.get("/api/admin/pool", summary="The connection pools of every process, and what to change")
async def pool(runtime: Running, _: Reads, minutes: Annotated[int, Query(ge=1, le=14 * 24 * 60)] = 60) -> PoolOverview:
    service = await service_database(runtime.settings.url_of("service"), runtime.get(Poolers).found.get("service"))
    async with runtime.pool.connection() as connection:
        return await pool_overview(connection, service, timedelta(minutes=minutes))
