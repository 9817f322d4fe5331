"""Check-ins in health: a warning that names what was missed, failed or hangs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from opsbook.core.postgres.connect import Pool
from opsbook.core.runtime import Runtime
from opsbook.debugging.checkins.monitor import Monitor
from opsbook.debugging.checkins.store import list_monitors
from opsbook.debugging.checkins.wording import state_in_words
from opsbook.monitoring import Finding, HealthMonitor, Status

_CHECK: Final = "check_ins"
_INTERVAL_SECONDS: Final = 2.0
_MOST_NAMED: Final = 5


@asynccontextmanager
async def check_ins_in_health(runtime: Runtime) -> AsyncIterator[None]:
    """Have the process's health say how everything that checks in is doing, in whatever environment."""
    health = runtime.get(HealthMonitor)
    health.add(_CHECK, _check(runtime.pool), interval=_INTERVAL_SECONDS)
    await health.first_results()
    try:
        yield
    finally:
        health.remove(_CHECK)


def _check(pool: Pool) -> Callable[[], Awaitable[Finding | str]]:
    async def run() -> Finding | str:
        async with pool.connection() as connection:
            monitors = await list_monitors(connection)
        now = datetime.now(UTC)
        failing = [monitor for monitor in monitors if monitor.needs_somebody(now)]
        if not monitors:
            return Finding(Status.NOT_CONFIGURED, "nothing has checked in yet; see `opsbook check-in --help`")
        if failing:
            return Finding(Status.WARN, f"{len(failing)} of {len(monitors)}: {_named(failing, now)}")
        return f"{len(monitors)} as expected"

    return run


def _named(failing: list[Monitor], now: datetime) -> str:
    named = ", ".join(f"{m.slug} {state_in_words(m, now)}" for m in failing[:_MOST_NAMED])
    return named + (", …" if len(failing) > _MOST_NAMED else "")
