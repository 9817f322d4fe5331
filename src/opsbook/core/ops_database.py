"""How commands work on the ops database: straight, with no server between, so that they work when none is up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from opsbook.core.access.identity import host_identity
from opsbook.core.audit import acting
from opsbook.core.console import run, settings
from opsbook.core.postgres.connect import Connection, connect

T = TypeVar("T")

Work = Callable[[Connection], Awaitable[T]]


def read(work: Work[T]) -> T:
    """Run work that changes nothing.

    Raises:
        NotConfigured: No ops database is known.
        Unavailable: It does not answer.
    """

    async def reading() -> T:
        async with connect(settings().require_url("ops"), "opsbook cli") as connection:
            return await work(connection)

    return run(reading())


def act(reason: str | None, work: Work[T]) -> T:
    """Run work in one transaction that is recorded as done by the person at this shell.

    Raises:
        NotConfigured: No ops database is known.
        Unavailable: It does not answer.
    """

    async def doing() -> T:
        async with (
            connect(settings().require_url("ops"), "opsbook cli") as connection,
            acting(connection, host_identity(), reason) as acted,
        ):
            return await work(acted)

    return run(doing())
