"""A bound on how long somebody waits for a database, even for one that is frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from opsbook.core.errors import Unavailable

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T], what: str = "the ops database") -> T:
    """The result of `work`, or a refusal after `seconds`.

    Work that is late is cancelled but not waited for: on a frozen server psycopg takes
    seconds to give up even a cancelled query.

    Raises:
        Unavailable: It took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.add_done_callback(_hear_out)
            task.cancel()
    if task.done():
        return task.result()
    raise Unavailable(f"{what} does not answer; `opsbook health` says more")


def _hear_out(task: asyncio.Future[Any]) -> None:
    """Take note of how abandoned work ended, so that asyncio does not report it as forgotten."""
    if not task.cancelled():
        task.exception()
