"""A bound on how long somebody waits for a database, even for one that is frozen."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.rows import DictRow

from opsbook.core.errors import Unavailable

T = TypeVar("T")

ANSWER_SECONDS = 4.0
"""How long a request waits for any one statement: longer than the lock timeout, whose refusal says more."""


class PromptConnection(AsyncConnection[DictRow]):
    """A connection that hangs up on a server which leaves a statement unanswered for `ANSWER_SECONDS`.

    The statement then fails with `psycopg.OperationalError`. Postgres' own timeouts are no
    help where the whole server is frozen, and TCP's only where its machine is gone.
    """

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        silence = asyncio.get_running_loop().call_later(ANSWER_SECONDS, hang_up, self)
        try:
            return await super().wait(gen, *args, **kwargs)
        finally:
            silence.cancel()


def hang_up(connection: AsyncConnection[Any]) -> None:
    """Shut the connection's socket, so that whatever waits for the server fails at once."""
    if connection.closed:
        return
    # A duplicate of the descriptor: the event loop still watches the original, which libpq closes in its own time.
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


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
