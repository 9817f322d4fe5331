"""The console's page of the connection pools: how full, who waits, who holds one for longest, and what to change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from opsbook.core.deadline import within
from opsbook.core.errors import Unavailable
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import Runtime, runtime_of
from opsbook.database.pool.chart import pool_charts
from opsbook.database.pool.meter import Holder
from opsbook.database.pool.overview import ProcessPool, ServiceDatabase, pool_overview, service_database
from opsbook.database.pool.pooler import BROKEN_BY_TRANSACTION_MODE
from opsbook.database.pool.service import Poolers
from opsbook.web.contributions import Concern, worries
from opsbook.web.forms import Viewer
from opsbook.web.templates import render

PAGE = "/ops/database/pool"
_LATELY = timedelta(minutes=15)
_HOLDERS_SHOWN = 8
_PATIENCE_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 5
"""An open page, as often as processes report."""
_LOOK_BACK_EVERY_SECONDS = 60
"""A day of eight busy processes is a hundred thousand samples, which take a second to add up."""

router = APIRouter(include_in_schema=False)


@worries
async def pools_in_need(connection: Connection) -> Sequence[Concern]:
    """What the pools of the last quarter of an hour want changed."""
    found = await pool_overview(connection, await service_database(None, None), _LATELY)
    return [Concern(f"Connection pool of {each.target}", _sentence(each.text), PAGE, "warn") for each in found.advice]


@router.get("/database/pool")
async def pool_page(request: Request, viewer: Viewer, hours: Literal["1", "6", "24"] = "1") -> HTMLResponse:
    """The pools of every process, over the last hour, quarter of a day or day."""
    runtime = runtime_of(request)
    service = await _service(runtime)
    async with runtime.pool.connection() as connection:
        found = await pool_overview(connection, service, timedelta(hours=int(hours)))
    return render(
        request,
        "database/pool.html",
        viewer,
        found=found,
        charts=pool_charts(found.saturation, found.period_seconds),
        holders=_holders(found.processes),
        broken=BROKEN_BY_TRANSACTION_MODE,
        hours=hours,
        every_seconds=_LOOK_EVERY_SECONDS if hours == "1" else _LOOK_BACK_EVERY_SECONDS,
    )


async def _service(runtime: Runtime) -> ServiceDatabase:
    """The service's server, if it answers while a person waits: what the processes report counts all the more then."""
    pooler = runtime.get(Poolers).found.get("service")
    try:
        return await within(_PATIENCE_SECONDS, service_database(runtime.settings.url_of("service"), pooler))
    except Unavailable:
        return await service_database(None, pooler)


def _holders(pools: Sequence[ProcessPool]) -> Sequence[tuple[ProcessPool, Holder, bool]]:
    """Who has or had a connection for longest, with its process and whether it is out now; those first."""
    now = [(pool, holder, True) for pool in pools if not pool.gone for holder in pool.holders]
    ended = [(pool, pool.longest_hold, False) for pool in pools if pool.longest_hold]
    by_length = sorted([*now, *ended], key=lambda each: (not each[2], -each[1].held_seconds))
    return by_length[:_HOLDERS_SHOWN]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
