"""What the performance chapter keeps alive in a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opsbook.core.metrics import measures
from opsbook.core.runtime import Runtime
from opsbook.performance.blocks.metrics import block_metrics
from opsbook.performance.blocks.register import AddressBlocks
from opsbook.performance.cache import service as cache
from opsbook.performance.limits import service as limits

measures("blocks")(block_metrics)


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Follow the tables while the server lives; what was counted is reported at its end."""
    blocks = runtime.get(AddressBlocks)
    blocks.start()
    try:
        async with limits.running(runtime), cache.running(runtime):
            yield
    finally:
        await asyncio.to_thread(blocks.close)
