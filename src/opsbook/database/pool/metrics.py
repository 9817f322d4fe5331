"""What `/metrics` tells of the connection pools: every process's, as it last reported it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from opsbook.core.runtime import Runtime
from opsbook.database.pool import store
from opsbook.database.pool.store import Process

_LABELS = ("host", "pid", "program", "database")

_GAUGES: Mapping[str, tuple[str, Callable[[Process], float | None]]] = {
    "opsbook_pool_capacity": (
        "The most connections that a pool may open; missing where it has no limit.",
        lambda process: process.status.capacity if process.status else None,
    ),
    "opsbook_pool_checked_out": ("Connections of a pool that are in use.", lambda process: process.checked_out),
    "opsbook_pool_waiting": ("How many wait for a connection.", lambda process: process.waiting),
}
_COUNTERS: Mapping[str, tuple[str, Callable[[Process], float]]] = {
    "opsbook_pool_arrivals": ("How often a connection was asked for.", lambda process: process.arrivals),
    "opsbook_pool_timeouts": ("How often an exhausted pool refused.", lambda process: process.timeouts),
    "opsbook_pool_failures": ("How often none could be had otherwise.", lambda process: process.failures),
    "opsbook_pool_waited_seconds": ("How long was waited for them.", lambda process: process.waited_seconds),
    "opsbook_pool_held_seconds": (
        "How long those given back were kept; its rate is how many are in use.",
        lambda process: process.held_seconds,
    ),
}


async def pool_metrics(runtime: Runtime) -> Iterable[Metric]:
    """Gauges and counters of every process that reports."""
    async with runtime.pool.connection() as connection:
        processes = await store.processes(connection)
    gauges = [
        _filled(GaugeMetricFamily(name, words, labels=_LABELS), processes, of) for name, (words, of) in _GAUGES.items()
    ]
    counters = [
        _filled(CounterMetricFamily(name, words, labels=_LABELS), processes, of)
        for name, (words, of) in _COUNTERS.items()
    ]
    return [*gauges, *counters]


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, processes: Iterable[Process], of: Callable[[Process], float | None]
) -> Metric:
    for process in processes:
        if (value := of(process)) is not None:
            family.add_metric([process.host, str(process.pid), process.program, process.database], value)
    return family
