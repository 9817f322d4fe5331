"""The rate limits' part of `/metrics`."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from opsbook.core.runtime import Runtime
from opsbook.performance.limits import store


async def limit_metrics(runtime: Runtime) -> Sequence[Metric]:
    """What each policy admitted and refused in all processes, and what is in force."""
    requests = CounterMetricFamily(
        "opsbook_rate_limit_requests", "Requests that a rate limit decided.", labels=["policy", "outcome"]
    )
    in_force = GaugeMetricFamily(
        "opsbook_rate_limit_in_force", "The limit that is in force.", labels=["policy", "window"]
    )
    async with runtime.pool.connection() as connection:
        for row in await store.totals(connection):
            requests.add_metric([row["policy"], "admitted"], row["admitted"])
            requests.add_metric([row["policy"], "refused"], row["refused"])
        for limit in await store.list_limits(connection):
            for name, most in limit.in_force.items():
                in_force.add_metric([limit.policy, name.removeprefix("per_")], most)
    return requests, in_force
