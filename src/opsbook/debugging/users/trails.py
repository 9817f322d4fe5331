"""The trails of this installation: our own tables, those of the service, and how to reach both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from opsbook.core.deadline import PromptConnection
from opsbook.core.errors import NotConfigured
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import LIVENESS, Connection, Pool, connect, guarded
from opsbook.core.queries import load_queries
from opsbook.core.runtime import Runtime
from opsbook.core.settings import Database, Settings
from opsbook.debugging.users.mapping import UserTable, read_tables
from opsbook.debugging.users.sources.flags import Flags
from opsbook.debugging.users.sources.interface import Source
from opsbook.debugging.users.sources.ours import Audit, Errors, Logs
from opsbook.debugging.users.sources.service import ServiceTable
from opsbook.debugging.users.timeline import Connect, Trails

_QUERIES: Final = load_queries("opsbook.debugging.users")
_APPLICATION: Final = "opsbook users"
_MOST_CONNECTIONS: Final = 2
"""Of this process to the service database, which has better things to do."""

log = get_logger(__name__)


@asynccontextmanager
async def trails_of(settings: Settings) -> AsyncIterator[Trails]:
    """For a command: connections of its own.

    Raises:
        NotConfigured: No ops database is known, or the mapping of the service's tables cannot be used.
    """
    tables = read_tables(settings.user_tables)
    ops = partial(connect, settings.require_url("ops"), "opsbook cli")
    async with _service_pool(settings) as service:
        yield Trails(_sources(tables), _connects(ops, service))


@asynccontextmanager
async def trails_in(runtime: Runtime) -> AsyncIterator[None]:
    """For a server: put the trails where the routes find them. A mapping that cannot be used must not stop it."""
    try:
        tables = read_tables(runtime.settings.user_tables)
    except NotConfigured as error:
        log.error("user_tables_unusable", error=str(error))
        tables = ()
    async with _service_pool(runtime.settings) as service:
        runtime.put(Trails(_sources(tables), _connects(runtime.pool.connection, service)))
        yield


def _sources(tables: Sequence[UserTable]) -> Sequence[Source]:
    return [*map(ServiceTable, tables), Errors(), Logs(), Flags(), Audit()]


def _connects(ops: Connect, service: Pool | None) -> Mapping[Database, Connect]:
    connects: dict[Database, Connect] = {"ops": ops}
    if service is not None:
        connects["service"] = partial(_reading, service)
    return connects


@asynccontextmanager
async def _service_pool(settings: Settings) -> AsyncIterator[Pool | None]:
    """Connections to the service database that are opened when somebody looks, and closed a while after."""
    url = settings.url_of("service")
    if url is None:
        yield None
        return
    # No start-up options and no prepared statements: a pooler in transaction mode takes neither.
    arguments: dict[str, Any] = {
        **LIVENESS,
        "application_name": _APPLICATION,
        "connect_timeout": 5,
        "row_factory": dict_row,
        "autocommit": True,
        "prepare_threshold": None,
    }
    pool: Pool = AsyncConnectionPool(
        guarded(url),
        kwargs=arguments,
        connection_class=PromptConnection,
        min_size=0,
        max_size=_MOST_CONNECTIONS,
        max_idle=60.0,
        timeout=3.0,
        reconnect_timeout=3.0,
        name=_APPLICATION,
        open=False,
    )
    async with pool:
        yield pool


@asynccontextmanager
async def _reading(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction on the service database that can change nothing, and takes three seconds a statement at most."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(_QUERIES["only_read"])
        await connection.execute(_QUERIES["bound_time"])
        yield connection
