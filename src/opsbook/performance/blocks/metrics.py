"""The address blocks' part of `/metrics`."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from opsbook.core.runtime import Runtime
from opsbook.performance.blocks import store


async def block_metrics(runtime: Runtime) -> Sequence[Metric]:
    """How many networks are blocked, and how many requests that has refused in all processes."""
    async with runtime.pool.connection() as connection:
        totals = await store.totals(connection)
    refused = CounterMetricFamily(
        "opsbook_blocked_requests", "Requests that the present address blocks have refused.", value=totals.hits
    )
    networks = GaugeMetricFamily("opsbook_blocked_networks", "Networks that are blocked.", value=totals.blocks)
    return refused, networks
