"""What lives while a server does: the health monitor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opsbook.core.runtime import Runtime
from opsbook.monitoring.checks import standard_checks
from opsbook.monitoring.monitor import HealthMonitor


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Check from here on; a monitor that is in the runtime already, with checks of its own, is taken over."""
    try:
        monitor = runtime.get(HealthMonitor)
    except KeyError:
        monitor = HealthMonitor()
        runtime.put(monitor)
    async with standard_checks(monitor, runtime.settings):
        await monitor.start()
        try:
            yield
        finally:
            await monitor.stop()
