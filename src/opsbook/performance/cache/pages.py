"""The console's page of the cache: what it does for each function, and the lever that has it forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg.rows import DictRow

from opsbook.core.access import Identity, Role
from opsbook.core.errors import OpsbookError
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.performance.cache import store
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.statistics import hit_rate
from opsbook.performance.cache.store import FunctionStatistics
from opsbook.performance.cache.wording import in_words, purge_from
from opsbook.web.charts import Chart, Series, Tone, chart, filled, steps
from opsbook.web.contributions import Hit, finds
from opsbook.web.forms import Checked, Operator, Viewer, pulling, texts_of
from opsbook.web.templates import render

PAGE = "/ops/performance/cache"
DAY = timedelta(hours=24)
_STEP, _STEPS = timedelta(hours=1), 24
_LEVELS: Sequence[tuple[str, str, Tone]] = (
    *(("hits", "from memory", "accent"), ("shared_hits", "from Redis", "soft"), ("stale", "stale", "quiet")),
    *(("waits", "waited", "ok"), ("misses", "computed", "warn")),
)
"""What becomes of a call, the quickest first."""

router = APIRouter()


@finds
async def find_functions(connection: Connection, text: str) -> Sequence[Hit]:
    """Cached functions by name."""
    if not text:
        return []
    functions = await store.statistics(connection, DAY)
    return [
        Hit(each.function, PAGE, "Cached function", "performance", f"{each.hit_rate:.0%} at once".replace("%", " %"))
        for each in functions
        if text.lower() in each.function.lower()
    ]


@router.get("/performance/cache")
async def cache_page(request: Request, viewer: Viewer, purged: int | None = None) -> HTMLResponse:
    """What the cache did within a day, function by function."""
    return await _page(request, viewer, purged=purged)


@router.get("/performance/cache/purge")
async def purge_page(request: Request, operator: Operator) -> Response:
    """What a purge will touch; shown in a dialog where scripts run."""
    try:
        purge = _read(request.query_params)
    except OpsbookError as error:
        return await _page(request, operator, status=error.status, error=str(error))
    async with runtime_of(request).pool.connection() as connection:
        touched = [each for each in await store.statistics(connection, DAY) if _concerns(purge, each)]
    return render(request, "performance/purge.html", operator, purge=purge, words=in_words(purge), touched=touched)


@router.post("/performance/cache/purge", dependencies=Checked)
async def purge(request: Request, operator: Operator) -> Response:
    """Have every process forget."""
    form = await texts_of(request)
    try:
        wanted = _read(form)
        async with pulling(request, operator, form.get("reason")) as connection:
            revision = await store.purge(connection, wanted)
    except OpsbookError as error:
        return await _page(request, operator, status=error.status, error=str(error))
    return RedirectResponse(f"{PAGE}?purged={revision}", 303)


async def calls_chart(connection: Connection) -> Chart:
    """What became of the calls of the last day, hour by hour."""
    rows, moments = await store.history(connection, DAY), steps(_STEP, _STEPS)
    series = [
        Series(words, filled(moments, {row["hour"]: row[name] for row in rows}), "bars", tone)
        for name, words, tone in _LEVELS
    ]
    return chart("Calls an hour", moments, series, step=_STEP)


async def hit_rate_chart(connection: Connection) -> Chart:
    """The part of calls that were answered at once, hour by hour."""
    moments = steps(_STEP, _STEPS)
    rates = {row["hour"]: _rate(row) for row in await store.history(connection, DAY)}
    series = Series("answered at once", [rates.get(moment) for moment in moments], "area")
    return chart("Answered at once", moments, [series], step=_STEP, form=lambda share: f"{100 * share:.4g} %", top=1.0)


async def _page(
    request: Request, viewer: Identity, *, purged: int | None = None, status: int = 200, error: str | None = None
) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        functions = await store.statistics(connection, DAY)
        calls = await calls_chart(connection)
        forgotten = await store.find_purge(connection, purged) if purged is not None else None
    return render(
        request,
        "performance/cache.html",
        viewer,
        status=status,
        functions=functions,
        totals=totals(functions),
        chart=calls,
        forgotten=in_words(forgotten) if forgotten else None,
        error=error,
        may_change=viewer.may(Role.OPERATOR),
    )


def totals(functions: Sequence[FunctionStatistics]) -> Mapping[str, float]:
    """All functions together: calls, the part answered at once, seconds saved, bytes held."""
    at_once = sum(each.hits + each.shared_hits + each.stale for each in functions)
    waited = sum(each.misses + each.waits for each in functions)
    return {
        "calls": at_once + waited,
        "hit_rate": hit_rate(at_once, waited),
        "seconds_saved": sum(each.seconds_saved for each in functions),
        "bytes": sum(each.bytes for each in functions),
    }


def _read(given: Mapping[str, str]) -> Purge:
    return purge_from(
        everything=given.get("all") == "true",
        function=given.get("function") or None,
        tag=given.get("tag") or None,
        key=given.get("key") or None,
    )


def _concerns(purge: Purge, function: FunctionStatistics) -> bool:
    return purge.kind == "all" or purge.target == function.function


def _rate(row: DictRow) -> float | None:
    at_once, waited = row["hits"] + row["shared_hits"] + row["stale"], row["misses"] + row["waits"]
    return hit_rate(at_once, waited) if at_once + waited else None
