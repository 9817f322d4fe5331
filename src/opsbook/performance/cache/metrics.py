"""The cache's part of `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from opsbook.core.runtime import Runtime
from opsbook.performance.cache import store


async def cache_metrics(runtime: Runtime) -> Iterable[Metric]:
    """Each function's calls by what became of them, the time spent and saved, and what the processes hold."""
    calls = CounterMetricFamily("opsbook_cache_calls", "Calls of cached functions.", labels=["function", "outcome"])
    spent = CounterMetricFamily("opsbook_cache_computing_seconds", "Seconds spent computing.", labels=["function"])
    refreshes = CounterMetricFamily("opsbook_cache_refreshes", "Computed behind callers' backs.", labels=["function"])
    errors = CounterMetricFamily("opsbook_cache_errors", "Computations that raised.", labels=["function"])
    entries = GaugeMetricFamily("opsbook_cache_entries", "Results in processes' memory.", labels=["function"])
    held = GaugeMetricFamily("opsbook_cache_memory_bytes", "Size of results in processes' memory.", labels=["function"])
    saved = GaugeMetricFamily("opsbook_cache_saved_seconds", "Computing time saved, about.", labels=["function"])
    async with runtime.pool.connection() as connection:
        for each in await store.statistics(connection):
            for outcome in ("hits", "shared_hits", "stale", "misses", "waits"):
                calls.add_metric([each.function, outcome], getattr(each, outcome))
            spent.add_metric([each.function], each.seconds)
            refreshes.add_metric([each.function], each.refreshes)
            errors.add_metric([each.function], each.errors)
            entries.add_metric([each.function], each.entries)
            held.add_metric([each.function], each.bytes)
            saved.add_metric([each.function], each.seconds_saved)
    return calls, spent, refreshes, errors, entries, held, saved
