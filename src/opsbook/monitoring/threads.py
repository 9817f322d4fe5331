"""Runs a blocking check in a thread of its own, which never holds up the process's end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(function: Callable[[], T]) -> T:
    """The function's result, from a daemon thread.

    The event loop's own executor would not do: its threads are few, shared with the
    service, and joined at exit, so that one hung check would hang the shutdown.

    A cancelled call ends only when its thread does (or when cancelled once more), so that
    whoever counts calls counts threads.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            result = function()
            settle = partial(outcome.set_result, result)
        except BaseException as error:  # carried over to the caller, whatever it is
            settle = partial(outcome.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=work, name="opsbook-check", daemon=True).start()
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        await asyncio.wait({outcome})
        if not outcome.cancelled():
            outcome.exception()  # seen, so that it is not reported as forgotten
        raise
