"""Overview: is it well, what needs me, what can I do, what happened lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import psycopg
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from psycopg.rows import DictRow
from psycopg_pool import PoolTimeout

from opsbook.core.access import Identity, Role
from opsbook.core.audit import AuditFilter
from opsbook.core.audit import search as search_audit
from opsbook.core.deadline import within
from opsbook.core.errors import Unavailable
from opsbook.core.http.identity import signed_in
from opsbook.core.runtime import Runtime, runtime_of
from opsbook.monitoring.health import Report, Result, Status
from opsbook.monitoring.monitor import HealthMonitor
from opsbook.web.contributions import Concern, concerns, levers
from opsbook.web.frame import Standing, standing_source
from opsbook.web.templates import render

_RECENT_RECORDS = 12
_PATIENCE_SECONDS = 2.0

_ADVICE = {
    "database": "Nothing can be read or written until it answers.",
    "ops_database": "Levers and the audit wait for it; flags are served from memory meanwhile.",
    "pool": "Requests wait for a connection: enlarge the pool, or find what holds them.",
    "migrations": "The schema lags behind the code: apply what is pending.",
    "worker": "Periodic work is not done: start `opsbook worker`.",
    "redis": "Limits and cache fall back to each process alone.",
    "supabase": "Its auth service does not answer; see its status page.",
}

_TOLD_ONE_BY_ONE = {"check_ins"}
"""Checks of many things, each of which its chapter tells of by itself."""

router = APIRouter(include_in_schema=False)

Viewer = Annotated[Identity, Depends(signed_in(Role.VIEWER))]


@dataclass(frozen=True, slots=True)
class Lately:
    """What the ops database says; `answered` is false where it said nothing in time."""

    answered: bool
    concerns: Sequence[Concern]
    records: Sequence[DictRow]


@router.get("")
async def overview(request: Request, viewer: Viewer) -> HTMLResponse:
    """The page to look at first; it stands even when the ops database does not answer."""
    runtime = runtime_of(request)
    report = _report(runtime)
    lately = await _lately(runtime)
    return render(
        request,
        "monitoring/overview.html",
        viewer,
        report=report,
        oldest=_oldest(report),
        concerns=[*_unwell(report), *lately.concerns],
        levers=levers(),
        records=lately.records,
        answered=lately.answered,
    )


@router.get("/health-now")
async def health_now(request: Request, viewer: Viewer) -> HTMLResponse:
    """The health panel alone, for the open page to refresh every other second; read from memory."""
    report = _report(runtime_of(request))
    return render(request, "monitoring/health_now.html", viewer, report=report, oldest=_oldest(report))


@standing_source
def overall_standing(runtime: Runtime) -> Standing:
    """The verdict that the frame shows on every page."""
    report = _report(runtime)
    return report.status.value if report else "unknown"


def _report(runtime: Runtime) -> Report | None:
    try:
        return runtime.get(HealthMonitor).report()
    except KeyError:
        return None


def _oldest(report: Report | None) -> float | None:
    """The age in seconds of the least recent result."""
    ages = [check.age_seconds for check in report.checks if check.age_seconds is not None] if report else []
    return max(ages, default=None)


def _unwell(report: Report | None) -> list[Concern]:
    checks = report.checks if report else ()
    unwell = [check for check in checks if check.status in (Status.DOWN, Status.WARN)]
    return [_concern(check) for check in unwell if check.status is Status.DOWN or check.name not in _TOLD_ONE_BY_ONE]


def _concern(check: Result) -> Concern:
    what = "is down" if check.status is Status.DOWN else "needs attention"
    name = check.name.replace("_", " ")
    tone = "alarm" if check.status is Status.DOWN and check.critical else "warn"
    return Concern(f"{name.capitalize()} {what}", check.detail or _ADVICE.get(check.name, ""), "#health", tone)


async def _lately(runtime: Runtime) -> Lately:
    try:
        return await within(_PATIENCE_SECONDS, _ask(runtime))
    except (Unavailable, psycopg.OperationalError, PoolTimeout):
        silent = Concern(
            "The ops database does not answer",
            "Levers and the audit wait for it; flags are served from memory meanwhile.",
            "#health",
            "alarm",
            datetime.now(UTC),
        )
        return Lately(False, [silent], [])


async def _ask(runtime: Runtime) -> Lately:
    async with runtime.pool.connection() as connection:
        records = await search_audit(connection, AuditFilter(limit=_RECENT_RECORDS))
        return Lately(True, await concerns(connection), records)
