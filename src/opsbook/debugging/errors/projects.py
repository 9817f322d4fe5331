"""Projects, their keys and quotas, and what became of what they sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow

from opsbook.core.errors import Conflict, NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries

_QUERIES: Final = load_queries("opsbook.debugging.errors")


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much a project may send; None for any amount."""

    events_per_minute: int | None = None
    events_per_hour: int | None = None
    events_per_day: int | None = None
    megabytes_per_day: int | None = None


USUAL_QUOTAS: Final = Quotas(events_per_minute=60_000, events_per_day=5_000_000, megabytes_per_day=1_000)
"""Of a project that is made without others; the same as the table's. 30 GB at most are kept of it for 30 days."""


async def list_projects(connection: Connection) -> Sequence[DictRow]:
    """Every project, with the events that it sent within a day."""
    return await (await connection.execute(_QUERIES["projects"])).fetchall()


async def create_project(connection: Connection, name: str, quotas: Quotas = USUAL_QUOTAS) -> tuple[DictRow, DictRow]:
    """A new project, and its first key.

    Raises:
        Conflict: The name is taken.
    """
    parameters = {"name": name, **asdict(quotas)}
    project = await (await connection.execute(_QUERIES["create_project"], parameters)).fetchone()
    if project is None:
        raise Conflict(f"there is a project {name!r} already")
    return project, await create_key(connection, name, "first")


async def set_quotas(connection: Connection, name: str, quotas: Quotas) -> DictRow:
    """How much the project may send. Raises `NotFound`."""
    parameters = {"name": name, **asdict(quotas)}
    return _found(await (await connection.execute(_QUERIES["set_quotas"], parameters)).fetchone(), name)


async def list_keys(connection: Connection, project: str | None = None) -> Sequence[DictRow]:
    """Every key, or those of one project."""
    return await (await connection.execute(_QUERIES["keys"], {"project": project})).fetchall()


async def create_key(connection: Connection, project: str, label: str = "") -> DictRow:
    """A new key of a project. Raises `NotFound`."""
    parameters = {"project": project, "label": label}
    return _found(await (await connection.execute(_QUERIES["create_key"], parameters)).fetchone(), project)


async def set_key(connection: Connection, public_key: str, *, disabled: bool) -> DictRow:
    """Have a key refused from now on, or let it in again. Raises `NotFound`."""
    parameters = {"public_key": public_key, "disabled": disabled}
    row = await (await connection.execute(_QUERIES["set_key"], parameters)).fetchone()
    if row is None:
        raise NotFound(f"there is no key {public_key[:64]!r}; `opsbook errors key list` shows them")
    return row


async def refused_by_quota(connection: Connection) -> Mapping[str, int]:
    """Projects that had something refused within the hour because a quota was used up, with how many items."""
    rows = await (await connection.execute(_QUERIES["refused_by_quota"])).fetchall()
    return {row["name"]: row["items"] for row in rows}


async def item_counts(connection: Connection, period: timedelta) -> Sequence[DictRow]:
    """What became of what projects sent within the period, by category and outcome."""
    return await (await connection.execute(_QUERIES["item_counts"], {"period": period})).fetchall()


def dsn_of(connection: psycopg.Connection[Any], address: str, project_id: int = 1) -> str | None:
    """The DSN with which a service sends its errors to the server at `address`; None where the project has no key."""
    row = connection.execute(_QUERIES["key_in_use"], {"project": project_id}).fetchone()
    return written_dsn(row[0], address, project_id) if row else None


def written_dsn(public_key: str, address: str, project_id: int) -> str:
    """A DSN as SDKs take it: `http://KEY@HOST/PROJECT`."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{public_key}@{rest.rstrip('/')}/{project_id}"


def _found(row: DictRow | None, name: str) -> DictRow:
    if row is None:
        raise NotFound(f"there is no project {name[:100]!r}; `opsbook errors project list` shows them")
    return row
