"""What the rate limits keep alive in a server: they follow their table, and report what they counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opsbook.core.metrics import measures
from opsbook.core.runtime import Runtime
from opsbook.performance.limits.limiter import RateLimits
from opsbook.performance.limits.metrics import limit_metrics
from opsbook.performance.limits.register import LimitRegister
from opsbook.performance.limits.reporting import Reporter

measures("limits")(limit_metrics)


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Obey the table while the server lives; what was counted is reported at its end."""
    limits = runtime.get(RateLimits)
    register = runtime.get(LimitRegister)
    reporter = Reporter(runtime.settings.require_url("ops"), limits, register)
    reporter.start()
    try:
        yield
    finally:
        await asyncio.to_thread(reporter.stop)
        await asyncio.to_thread(register.flush)
        await limits.aclose()
