"""Quotas in health: a warning that names the projects of which something was refused within the hour."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from opsbook.core.postgres.connect import Pool
from opsbook.core.runtime import Runtime
from opsbook.debugging.errors.projects import refused_by_quota
from opsbook.monitoring import Finding, HealthMonitor, Status

_CHECK: Final = "error_quotas"
_INTERVAL_SECONDS: Final = 5.0
_MOST_NAMED: Final = 5


@asynccontextmanager
async def quotas_in_health(runtime: Runtime) -> AsyncIterator[None]:
    """Have the process's health say which projects have used up a quota."""
    health = runtime.get(HealthMonitor)
    health.add(_CHECK, _check(runtime.pool), interval=_INTERVAL_SECONDS)
    try:
        yield
    finally:
        health.remove(_CHECK)


def _check(pool: Pool) -> Callable[[], Awaitable[Finding | str]]:
    async def run() -> Finding | str:
        async with pool.connection() as connection:
            refused = await refused_by_quota(connection)
        if not refused:
            return "nothing was refused within the hour"
        named = ", ".join(f"{project} ({items:,} items)" for project, items in list(refused.items())[:_MOST_NAMED])
        more = ", …" if len(refused) > _MOST_NAMED else ""
        what = f"used up, and more was refused within the hour: {named}{more}"
        return Finding(Status.WARN, f"{what}; `opsbook errors project list` shows quotas, `… quota` sets them")

    return run
