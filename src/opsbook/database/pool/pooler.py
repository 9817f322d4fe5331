"""Recognises a pooler between us and the server, and whether a session or only a transaction belongs to us there."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from opsbook.core.deadline import within
from opsbook.core.errors import Unavailable
from opsbook.core.postgres.connect import guarded
from opsbook.core.queries import load_queries
from opsbook.database.pool.address import Address, address_of_url

APPLICATION_NAME = "opsbook pooler check"
BROKEN_BY_TRANSACTION_MODE = (
    "LISTEN (notifications never arrive)",
    "prepared statements (in psycopg: prepare_threshold=None)",
    "advisory locks of a session",
    "SET outside a transaction",
    "temporary tables",
)
"""What needs a session of its own (PgBouncer's manual, "SQL feature map for pooling modes")."""

_QUERIES = load_queries("opsbook.database.pool")
_PATIENCE_SECONDS = 5.0
_ROUNDS = 3
_SUPABASE_TRANSACTION_PORT = 6543


class Mode(StrEnum):
    """For how long a server connection is a client's own."""

    SESSION = "session"
    TRANSACTION = "transaction"


@dataclass(frozen=True, slots=True)
class Pooler:
    """What stands before the server."""

    name: str
    mode: Mode

    def __str__(self) -> str:
        return f"{self.name} in {self.mode} mode"


async def recognise(url: str) -> Pooler | None:
    """The pooler behind an address; None where the server itself answers.

    A pooler makes up the process number that libpq is told for cancelling, so it is not the one that the server
    tells of itself. Two clients at rest whom the same server process answers have it for a transaction at most.

    Raises:
        Unavailable: Nobody answers.
        NotConfigured: It is no address.
    """
    address = address_of_url(url)
    try:
        return by_address(address) or await within(_PATIENCE_SECONDS, _by_behaviour(url), str(address))
    except psycopg.Error as error:
        raise Unavailable(f"{address} does not answer; `opsbook health` says more") from error


def by_address(address: Address) -> Pooler | None:
    """What Supabase's addresses say (its guide "Connect to your database"); None for others."""
    mode = Mode.TRANSACTION if address.port == _SUPABASE_TRANSACTION_PORT else Mode.SESSION
    if address.host.endswith(".pooler.supabase.com"):
        return Pooler("Supavisor", mode)
    if address.host.endswith(".supabase.co") and mode is Mode.TRANSACTION:
        return Pooler("PgBouncer", mode)
    return None


async def _by_behaviour(url: str) -> Pooler | None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(await _connect(url))
        if first.info.backend_pid == await _server_process(first):
            return None
        second = await stack.enter_async_context(await _connect(url))
        mode = Mode.TRANSACTION if await _share(first, second) else Mode.SESSION
    return Pooler("PgBouncer" if await _is_pgbouncer(url) else "a pooler", mode)


async def _connect(url: str) -> AsyncConnection[TupleRow]:
    # Without `options`, which PgBouncer refuses, and without prepared statements, which it may mix up.
    return await AsyncConnection.connect(
        guarded(url), autocommit=True, prepare_threshold=None, connect_timeout=3, application_name=APPLICATION_NAME
    )


async def _share(first: AsyncConnection[TupleRow], second: AsyncConnection[TupleRow]) -> bool:
    """Whether one server process has answered both, or several have answered one."""
    seen = [(await _server_process(first), await _server_process(second)) for _ in range(_ROUNDS)]
    return len(set(seen)) > 1 or any(one == other for one, other in seen)


async def _server_process(connection: AsyncConnection[TupleRow]) -> int:
    row = await (await connection.execute(_QUERIES["who_am_i"])).fetchone()
    assert row is not None
    return int(row[0])


async def _is_pgbouncer(url: str) -> bool:
    """Whether there is PgBouncer's console, a database of that name which Postgres would not know."""
    try:
        console = await AsyncConnection.connect(guarded(url), autocommit=True, connect_timeout=3, dbname="pgbouncer")
    except psycopg.OperationalError as error:
        return "not allowed" in str(error)
    async with console:
        return "bouncer" in (console.info.parameter_status("server_version") or "")
