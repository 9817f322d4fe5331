"""What the cache keeps alive in a server: it goes by the server's settings, and obeys purges in the ops database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opsbook.core.runtime import Runtime
from opsbook.performance.cache.follower import Follower
from opsbook.performance.cache.process import process


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Follow while the server lives; what was counted is reported at its end."""
    await asyncio.to_thread(process.configure, runtime.settings)
    follower = Follower(process, runtime.bus)
    try:
        yield
    finally:
        follower.stop()
        if process.functions:
            await asyncio.to_thread(process.courier.report)
