"""Waiting for a database has an end, even where cancelling has none."""

from __future__ import annotations

import asyncio
import time

import pytest

from opsbook.core.deadline import within
from opsbook.core.errors import Unavailable

pytestmark = pytest.mark.anyio


async def test_work_in_time_gives_its_result_or_its_error() -> None:
    async def answers() -> int:
        return 7

    async def fails() -> int:
        raise LookupError("gone")

    assert await within(1, answers()) == 7
    with pytest.raises(LookupError, match="gone"):
        await within(1, fails())


async def test_late_work_is_given_up_even_when_it_ignores_its_cancellation() -> None:
    release = asyncio.Event()

    async def frozen() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise LookupError("nobody hears this")

    started = time.monotonic()
    with pytest.raises(Unavailable, match="the ops database does not answer"):
        await within(0.05, frozen())
    assert time.monotonic() - started < 1
    release.set()
    await asyncio.sleep(0)


async def test_work_ends_with_whoever_waited_for_it() -> None:
    ended = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(within(60, slow()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(ended.wait(), 5)
