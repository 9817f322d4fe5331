"""Connections to the ops database: the server's pool, a command's single connection.

The ops database wants a direct or session-mode connection: LISTEN and session settings do
not survive a transaction-mode pooler.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from opsbook.core.deadline import PromptConnection
from opsbook.core.errors import Unavailable
from opsbook.core.postgres.forking import set_up_cryptography
from opsbook.core.postgres.home import PORTS

Connection: TypeAlias = AsyncConnection[DictRow]
Pool: TypeAlias = AsyncConnectionPool[Connection]

_STATEMENT_TIMEOUT_MILLISECONDS = 10_000
_LOCK_TIMEOUT_MILLISECONDS = 3_000
_IDLE_IN_TRANSACTION_TIMEOUT_MILLISECONDS = 30_000
_CONNECT_TIMEOUT_SECONDS = 5
_POOL_WAIT_SECONDS = 3.0

LIVENESS: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq parameters with which a peer that vanished without a word is noticed within about ten seconds."""


_EMBEDDED = re.compile(r"postgresql://[^@/?]+@127\.0\.0\.1:(?P<port>[0-9]+)/[^?]*\?sslmode=disable")
"""An address as `Home.url` writes it, and nothing added to it."""


def guarded(url: str) -> str:
    """The address for a connection of our own, which shows the password of an embedded cluster to nobody else.

    Where such a cluster is down, another program may listen on its port, and libpq would tell it the password in
    clear if it asked. SCRAM (RFC 5802) tells it to neither side, and has the server prove that it knows it too.
    """
    embedded = _EMBEDDED.fullmatch(url)
    return f"{url}&require_auth=scram-sha-256" if embedded and int(embedded["port"]) in PORTS else url


def parameters(application_name: str) -> dict[str, Any]:
    """Parameters, in libpq's names, of every connection to the ops database."""
    return {
        **LIVENESS,
        "application_name": application_name,
        "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
        "options": (
            "-c search_path=opsbook,public -c timezone=UTC"
            f" -c statement_timeout={_STATEMENT_TIMEOUT_MILLISECONDS} -c lock_timeout={_LOCK_TIMEOUT_MILLISECONDS}"
            f" -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_TIMEOUT_MILLISECONDS}"
        ),
    }


def make_pool(url: str, application_name: str, max_size: int = 8) -> Pool:
    """A pool that opens in the background and refuses after three seconds of waiting; not yet open."""
    return AsyncConnectionPool(
        guarded(url),
        kwargs={**parameters(application_name), "row_factory": dict_row, "autocommit": True},
        connection_class=PromptConnection,
        min_size=1,
        max_size=max_size,
        timeout=_POOL_WAIT_SECONDS,
        reconnect_timeout=5.0,
        name=application_name,
        open=False,
    )


@asynccontextmanager
async def connect(url: str, application_name: str) -> AsyncIterator[Connection]:
    """One connection, in autocommit, for a command that runs and ends.

    Raises:
        Unavailable: The database does not answer.
    """
    try:
        connection = await AsyncConnection[DictRow].connect(
            guarded(url), autocommit=True, row_factory=dict_row, **parameters(application_name)
        )
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"the ops database does not answer: {_first_line(error)}; is `opsbook up` running?"
        ) from error
    async with connection:
        yield connection


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


os.register_at_fork(before=set_up_cryptography)
