"""Waiting for what is to happen, and forgetting what is in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from opsbook.performance.cache.process import process
from opsbook.performance.cache.purges import Purge


def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: It did not come true in time.
    """
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.002)


async def arrives(condition: Callable[[], object], within: float = 10.0) -> None:
    """The same for coroutines."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0)


def forget_memory() -> None:
    """Drop what this process holds, so that the next call looks in Redis."""
    process.apply(Purge("all"))
