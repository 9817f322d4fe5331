"""What the service's server has to give: its limit of connections, and who has them now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row, dict_row

from opsbook.core.deadline import PromptConnection, within
from opsbook.core.errors import Unavailable
from opsbook.core.postgres.connect import guarded
from opsbook.core.queries import load_queries
from opsbook.database.pool.address import address_of_url

_QUERIES = load_queries("opsbook.database.pool")
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Application:
    """Everybody who goes by one `application_name`."""

    application: str
    connections: int
    idle_in_transaction: int


@dataclass(frozen=True, slots=True)
class Server:
    """A database server's connections."""

    max_connections: int
    reserved: int
    """Kept back for superusers and for roles with `pg_use_reserved_connections`."""
    used: int
    """All client connections, ours for this question among them."""
    applications: Sequence[Application]


async def look_at_server(url: str) -> Server:
    """The connections of the server behind an address.

    Raises:
        Unavailable: It does not answer.
        NotConfigured: It is no address.
    """
    address = address_of_url(url)
    try:
        return await within(_PATIENCE_SECONDS, _look(url), str(address))
    except psycopg.Error as error:
        raise Unavailable(f"{address} does not answer; `opsbook health` says more") from error


async def _look(url: str) -> Server:
    connection = await PromptConnection.connect(
        guarded(url),
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=3,
        row_factory=dict_row,
        application_name="opsbook pool",
    )
    async with connection:
        limits = await (await connection.execute(_QUERIES["server_limits"])).fetchone()
        assert limits is not None
        async with connection.cursor(row_factory=class_row(Application)) as cursor:
            applications = await (await cursor.execute(_QUERIES["server_connections"])).fetchall()
    used = sum(application.connections for application in applications)
    return Server(limits["max_connections"], limits["reserved"], used, applications)
