"""Asks one Postgres database whether it answers, over a connection kept for this, and can be hung up at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from opsbook.core.deadline import hang_up
from opsbook.core.postgres.connect import LIVENESS, guarded
from opsbook.monitoring.health import Finding, Status

T = TypeVar("T")
Row = TypeVar("Row")

APPLICATION_NAME = "opsbook health"

_QUESTION = """
select pg_is_in_recovery(), %(table)s::text is not null and to_regclass(%(table)s) is null
"""


class DatabaseProbe:
    """A health check: a trivial query on a database.

    Runs may overlap while a run on a frozen server is being given up; each takes the kept
    connection away while it uses it, and opens another where there is none.

    Args:
        url: Address of the database; poolers in transaction mode are fine.
        table: One that must be there; the check warns while it is not.
    """

    def __init__(self, url: str, table: str | None = None) -> None:
        self._url = url
        self._table = table
        self._idle: AsyncConnection[TupleRow] | None = None

    async def __call__(self) -> Finding | str:
        """Raises psycopg.Error when the database does not answer."""
        kept, self._idle = self._idle, None
        if kept is not None:
            try:
                return await self._ask(kept)
            except psycopg.OperationalError:
                # This one connection may have been ended by a restart, a pooler or an administrator: that alone
                # does not make the database down.
                pass
        return await self._ask(await self._connect())

    async def close(self) -> None:
        """Give the kept connection back."""
        kept, self._idle = self._idle, None
        if kept is not None:
            await kept.close()

    async def _connect(self) -> AsyncConnection[TupleRow]:
        # No prepared statements: behind a pooler the next query may meet another server connection.
        address = make_conninfo(guarded(self._url), application_name=APPLICATION_NAME, **LIVENESS)
        return await AsyncConnection.connect(address, autocommit=True, prepare_threshold=None)

    async def _ask(self, connection: AsyncConnection[TupleRow]) -> Finding | str:
        try:
            cursor = await hang_up_when_cancelled(connection, connection.execute(_QUESTION, {"table": self._table}))
            row = await cursor.fetchone()
        except BaseException:
            await connection.close()
            raise
        version = f"PostgreSQL {connection.info.server_version // 10_000}.{connection.info.server_version % 10_000}"
        self._idle, surplus = connection, self._idle
        if surplus is not None:
            await surplus.close()
        if row and row[0]:
            return Finding(Status.WARN, f"{version}, a standby: it can be read but not written")
        if row and row[1]:
            return Finding(Status.WARN, f"{version}, without the table {self._table}")
        return version


async def hang_up_when_cancelled(connection: AsyncConnection[Row], work: Awaitable[T]) -> T:
    """The work's result; when this is cancelled, the connection's socket is shut first.

    psycopg answers a cancellation by asking the server to cancel the query and waiting for
    that, up to ten seconds where the server is frozen. With the socket shut, the query
    ends at once by itself.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        hang_up(connection)
        await asyncio.wait({task}, timeout=0.5)
        if task.done() and not task.cancelled():
            task.exception()  # seen: that the query failed is what was wanted
        raise
