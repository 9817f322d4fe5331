"""What the monitor does with checks that are slow, stuck, broken, blocking, or come later."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from opsbook.core.errors import Conflict, NotConfigured
from opsbook.monitoring import watch
from opsbook.monitoring.health import Finding, Overall, Status
from opsbook.monitoring.monitor import HealthMonitor
from tests.monitoring.stage import until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def started(monitor: HealthMonitor) -> AsyncIterator[HealthMonitor]:
    await monitor.start()
    try:
        yield monitor
    finally:
        await monitor.stop()


def one(monitor: HealthMonitor, name: str) -> tuple[Status, str | None]:
    return next((check.status, check.detail) for check in monitor.report().checks if check.name == name)


async def test_each_way_of_answering_has_its_status() -> None:
    async def fine() -> None: ...

    async def fine_with_detail() -> str:
        return "version 7"

    async def warns() -> Finding:
        return Finding(Status.WARN, "nearly full")

    async def breaks() -> None:
        raise ConnectionRefusedError("nobody listens")

    async def lacks() -> None:
        raise NotConfigured("PAYMENTS_URL is not set")

    def blocking() -> str:
        return threading.current_thread().name

    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    monitor = HealthMonitor()
    for function in (fine, fine_with_detail, warns, breaks, lacks, blocking, cancels_itself):
        monitor.add(function.__name__, function)
    async with started(monitor):
        assert one(monitor, "fine") == (Status.OK, None)
        assert one(monitor, "fine_with_detail") == (Status.OK, "version 7")
        assert one(monitor, "warns") == (Status.WARN, "nearly full")
        assert one(monitor, "breaks") == (Status.DOWN, "ConnectionRefusedError: nobody listens")
        assert one(monitor, "lacks") == (Status.NOT_CONFIGURED, "PAYMENTS_URL is not set")
        assert one(monitor, "blocking") == (Status.OK, "opsbook-check")
        assert one(monitor, "cancels_itself") == (Status.DOWN, "the check cancelled itself")
        assert monitor.report().status is Overall.DEGRADED


async def test_an_answer_after_the_deadline_counts_the_moment_it_comes() -> None:
    answered = asyncio.Event()

    async def slow() -> str:
        await answered.wait()
        return "here at last"

    monitor = HealthMonitor()
    monitor.add("slow", slow, deadline=0.05)
    async with started(monitor):
        assert one(monitor, "slow") == (Status.DOWN, "no answer within 0.05 s")
        answered.set()
        assert await until(lambda: one(monitor, "slow") == (Status.OK, "here at last"), 0.2) < 0.1


async def test_what_is_down_is_looked_at_again_soon_however_rare_its_check() -> None:
    answers = iter([ConnectionRefusedError("not yet"), None])

    async def recovers() -> None:
        if (answer := next(answers, None)) is not None:
            raise answer

    monitor = HealthMonitor()
    monitor.add("recovers", recovers, interval=60)
    async with started(monitor):
        assert one(monitor, "recovers")[0] is Status.DOWN
        await until(lambda: one(monitor, "recovers")[0] is Status.OK, within=10)


async def test_a_check_that_ignores_cancellation_runs_at_most_twice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.02)
    running = 0
    most = 0
    let_go = asyncio.Event()

    async def stubborn() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        running -= 1

    monitor = HealthMonitor()
    monitor.add("stubborn", stubborn, deadline=0.02, interval=0.001)
    async with started(monitor):
        await until(lambda: most == 2, 1)
        watched = time.monotonic() + 0.3
        await until(lambda: time.monotonic() > watched, 1)
        assert most == 2
        let_go.set()
        await until(lambda: one(monitor, "stubborn")[0] is Status.OK, 1)


async def test_a_hung_thread_neither_piles_up_nor_holds_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.02)
    let_go = threading.Event()
    monitor = HealthMonitor()
    monitor.add("hung", let_go.wait, deadline=0.02, interval=0.001)  # pyright: ignore[reportArgumentType]
    async with started(monitor):
        watched = time.monotonic() + 0.3
        await until(lambda: time.monotonic() > watched, 1)
        assert sum(thread.name == "opsbook-check" for thread in threading.enumerate()) == 2
        ending = time.monotonic()
    assert time.monotonic() - ending < 1.5
    let_go.set()


def test_a_hung_thread_does_not_keep_the_process_alive() -> None:
    program = """
import asyncio, threading
from opsbook.monitoring.monitor import HealthMonitor

async def main():
    monitor = HealthMonitor()
    monitor.add("hung", threading.Event().wait, deadline=0.01)
    await monitor.start()
    await monitor.stop()

asyncio.run(main())
"""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20, env=environment)


async def test_a_check_may_come_while_running_but_not_under_a_taken_name() -> None:
    monitor = HealthMonitor()

    async def fine() -> None: ...

    async with started(monitor):
        monitor.add("payments", fine, critical=True)
        await until(lambda: one(monitor, "payments")[0] is Status.OK, 1)
        with pytest.raises(Conflict, match="'payments'"):
            monitor.add("payments", fine)


async def test_a_process_is_ready_once_what_it_waits_for_is_there() -> None:
    loaded = False
    monitor = HealthMonitor()
    monitor.ready_when("flags", lambda: loaded)
    assert monitor.waiting_for() == ("flags",)
    loaded = True
    assert monitor.waiting_for() == ()
