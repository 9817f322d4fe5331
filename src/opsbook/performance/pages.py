"""The chapter's pages: how cache, limits, blocks and pools do, and the page of each of them."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from opsbook.core.runtime import runtime_of
from opsbook.database import pool_chart, pool_overview, service_database
from opsbook.performance.blocks import pages as blocks
from opsbook.performance.blocks import store as block_store
from opsbook.performance.cache import pages as cache
from opsbook.performance.cache import store as cache_store
from opsbook.performance.limits import pages as limits
from opsbook.performance.limits import store as limit_store
from opsbook.web.contributions import Lever, offer
from opsbook.web.forms import Viewer
from opsbook.web.templates import render

router = APIRouter(include_in_schema=False)

offer(
    Lever(
        "Block addresses",
        "Refused by every worker at once, for a time or for good",
        f"{blocks.LIST}/new",
        "block",
        "Incidents",
        "Block addresses",
    ),
    Lever(
        "Adjust a rate limit",
        "In every worker at once; it goes back by itself",
        limits.LIST,
        "performance",
        "Incidents",
        "Adjust limits",
    ),
    Lever(
        "Have the cache forget",
        "By function, by tag or all, in every process",
        cache.PAGE,
        "recovery",
        "Performance",
        "Caching",
    ),
)


@router.get("/performance")
async def overview(request: Request, viewer: Viewer) -> HTMLResponse:
    """Is it well? Each of the four with its figures and its chart over time."""
    # Without asking the service's server, which may be slow: what the processes report is here.
    unasked = await service_database(None, None)
    async with runtime_of(request).pool.connection() as connection:
        functions = await cache_store.statistics(connection, cache.DAY)
        policies = await limit_store.list_limits(connection)
        pools = await pool_overview(connection, unasked)
        counts = await limit_store.counts(connection, timedelta(hours=1), timedelta(hours=1))
        concerns = [*await limits.limits_in_doubt(connection), *await blocks.firewalls_behind(connection)]
        return render(
            request,
            "performance/overview.html",
            viewer,
            concerns=concerns,
            functions=functions,
            cached=cache.totals(functions),
            cache_chart=await cache.hit_rate_chart(connection),
            policies=policies,
            admitted=sum(row["admitted"] for row in counts),
            refused=sum(row["refused"] for row in counts),
            limit_chart=await limits.requests_chart(connection),
            blocked=await block_store.totals(connection),
            block_chart=await blocks.refusals_chart(connection),
            pools=[pool for pool in pools.processes if not pool.gone],
            advice=pools.advice,
            pool_chart=pool_chart(pools.saturation, pools.period_seconds),
        )


for part in (limits, blocks, cache):
    router.include_router(part.router)
