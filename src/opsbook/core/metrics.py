"""What chapters measure, put together for whoever scrapes `/metrics`.

A chapter's module registers its collectors when it is imported; this asks them all and imports none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector as PrometheusCollector

from opsbook.core.deadline import within
from opsbook.core.errors import Unavailable
from opsbook.core.log import get_logger

if TYPE_CHECKING:
    from opsbook.core.runtime import Runtime

Collector: TypeAlias = "Callable[[Runtime], Coroutine[Any, Any, Iterable[Metric]]]"
"""Gives metric families as they are now. Counts must be those of all processes: a scrape reaches any one of them."""

_PATIENCE_SECONDS = 2.0

_collectors: dict[str, Collector] = {}

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gathered(PrometheusCollector):
    """What all collectors gave, as prometheus_client's writers take it."""

    families: tuple[Metric, ...]

    def collect(self) -> Iterable[Metric]:
        return self.families


def measures(name: str) -> Callable[[Collector], Collector]:
    """Register a collector under a name (`cache`, `limits`), as a decorator."""

    def registered(collector: Collector) -> Collector:
        _collectors[name] = collector
        return collector

    return registered


async def gather(runtime: Runtime) -> Gathered:
    """Ask every collector at once.

    One that fails or takes longer than two seconds is left out, as `opsbook_collector_up` then tells.
    """
    families = await asyncio.gather(*(_asked(name, collector, runtime) for name, collector in _collectors.items()))
    up = GaugeMetricFamily(
        "opsbook_collector_up", "Whether a part of Opsbook could be measured at this scrape.", labels=["collector"]
    )
    for name, found in zip(_collectors, families, strict=True):
        up.add_metric([name], found is not None)
    return Gathered((up, *(family for found in families for family in found or ())))


async def _asked(name: str, collector: Collector, runtime: Runtime) -> tuple[Metric, ...] | None:
    try:
        return tuple(await within(_PATIENCE_SECONDS, collector(runtime)))
    except Unavailable as error:
        log.warning("metrics_not_collected", collector=name, error=str(error))
    except Exception:
        # One part's defect must not blind its reader to all the others; the gauge shows it.
        log.exception("metrics_not_collected", collector=name)
    return None
