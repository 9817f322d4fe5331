"""Keeps all checks running in the background and tells how everything is, from memory, at any moment."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from opsbook.core.errors import Conflict
from opsbook.database import PoolStatus, pool_status
from opsbook.monitoring.health import Check, CheckFunction, Finding, Report, Status, overall, understand
from opsbook.monitoring.threads import run_in_thread
from opsbook.monitoring.watch import Watch

AnyCheckFunction = CheckFunction | Callable[[], Finding | str | None]
"""A check of one's own may be `async def` or a plain `def`; the latter runs in a thread."""

FIRST_RESULTS_SECONDS = 1.2
"""How long a start waits for first results: a little more than the usual deadline."""


class HealthMonitor:
    """The checks of one process. Not thread-safe once started: call it in its event loop."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._watches: dict[str, Watch] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._gates: dict[str, Callable[[], bool]] = {}
        self._pool: object | None = None
        self._running = False

    def add(
        self,
        name: str,
        function: AnyCheckFunction,
        *,
        critical: bool = False,
        deadline: float = 1.0,
        interval: float = 0.5,
    ) -> None:
        """Check one more thing; before the start or while running.

        Args:
            name: How the check is called in reports.
            function: Returns None or a detail when all is well, a `Finding` otherwise, or raises.
            critical: Whether the service is down (503) when this is.
            deadline: Seconds after which no answer means down.
            interval: Seconds between one run's end and the next one's start.

        Raises:
            Conflict: There is a check of that name.
        """
        if name in self._checks:
            raise Conflict(f"there is a health check named {name!r} already: give this one another name")
        self._checks[name] = Check(name, _asynchronous(function), critical, interval, deadline)
        if self._running:
            self._begin(self._checks[name])

    def remove(self, name: str) -> None:
        """Check something no more; nothing happens where there is no such check."""
        self._checks.pop(name, None)
        self._watches.pop(name, None)
        if task := self._tasks.pop(name, None):
            task.cancel()

    def watch_pool(self, pool: object) -> None:
        """Report this pool's figures, and warn while it is exhausted.

        Args:
            pool: Whatever `pool_status` understands; an engine rather than its pool, for `dispose` replaces that.

        Raises:
            TypeError: It is not a pool.
        """
        pool_status(pool)
        self._pool = pool
        self.add("pool", self._check_pool)

    def ready_when(self, name: str, condition: Callable[[], bool]) -> None:
        """Hold back `/api/readyz` until the condition is true; it must answer from memory."""
        self._gates[name] = condition

    def waiting_for(self) -> tuple[str, ...]:
        """What keeps this process from being ready to serve; empty when nothing does."""
        waiting = [name for name, condition in self._gates.items() if not condition()]
        if self.report().status_of("database") is Status.DOWN:
            waiting.insert(0, "database")
        return tuple(waiting)

    def report(self) -> Report:
        """How everything is, by the last measurements, what is critical first; touches nothing but memory."""
        clock = time.monotonic()
        results = tuple(
            understand(check, watch.last if (watch := self._watches.get(name)) else None, clock)
            for name, check in sorted(self._checks.items(), key=lambda item: not item[1].critical)
        )
        return Report(overall(results), results, self.pool(), datetime.now(UTC))

    def pool(self) -> PoolStatus | None:
        """The figures of the watched pool; None when none is watched, or it keeps no count."""
        return pool_status(self._pool) if self._pool is not None else None

    async def start(self) -> None:
        """Begin checking; waits a moment for first results, so that no server begins by calling itself ill."""
        self._running = True
        for check in self._checks.values():
            self._begin(check)
        await self.first_results()

    async def first_results(self) -> None:
        """Wait a moment for the results of checks that were added just now."""
        first = [asyncio.create_task(watch.first.wait()) for watch in self._watches.values()]
        if first:
            _, late = await asyncio.wait(first, timeout=FIRST_RESULTS_SECONDS)
            for task in late:
                task.cancel()

    async def stop(self) -> None:
        """End checking; waits at most a second for runs that do not want to end."""
        self._running = False
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*(watch.close() for watch in self._watches.values()))
        self._tasks.clear()

    def _begin(self, check: Check) -> None:
        watch = self._watches[check.name] = Watch(check)
        self._tasks[check.name] = asyncio.create_task(watch.run(), name=f"health watch {check.name}")

    async def _check_pool(self) -> Finding | str:
        figures = self.pool()
        if figures is None:
            return Finding(Status.NOT_CONFIGURED, "this pool keeps no count of its connections")
        if figures.exhausted:
            return Finding(
                Status.WARN,
                f"exhausted: {figures.checked_out} of {figures.capacity} connections are out;"
                " `opsbook db pool` says what holds them, and how large it should be",
            )
        return f"{figures.checked_out} of {figures.capacity or 'any number of'} connections are out"


def _asynchronous(function: AnyCheckFunction) -> CheckFunction:
    called = getattr(function, "__call__", function)  # noqa: B004 - an object with `async def __call__` is a check too
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        return cast("CheckFunction", function)

    async def run() -> Finding | str | None:
        found = await run_in_thread(function)
        return await found if inspect.isawaitable(found) else found

    return run
