"""Monitors and their runs in the ops database, and what people decide about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg.rows import DictRow, class_row

from opsbook.core.access.credentials import digest, new_token
from opsbook.core.errors import Conflict, NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.checkins.monitor import Monitor

KEPT: Final = timedelta(days=90)
NEWEST_KEPT: Final = 100
"""Runs of each monitor that stay, however old."""
FOR_EVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""Muted until somebody ends it. Not `infinity`, which Python's calendar has no day for."""
_QUERIES: Final = load_queries("opsbook.debugging.checkins")


async def list_monitors(
    connection: Connection, slug: str | None = None, environment: str | None = None
) -> Sequence[Monitor]:
    """Every monitor, or those of a name or an environment."""
    return await _monitors(connection, None, slug, environment)


async def get(connection: Connection, number: int) -> Monitor:
    """The monitor of that number.

    Raises:
        NotFound: There is none, or no longer.
    """
    found = await _monitors(connection, number)
    if not found:
        raise NotFound(f"no monitor has the number {number}; it may have been deleted")
    return found[0]


async def find(connection: Connection, slug: str, environment: str | None = None) -> Monitor:
    """The one monitor of that name.

    Raises:
        NotFound: There is none.
        Conflict: There are several, in more than one environment or project.
    """
    found = await list_monitors(connection, slug, environment)
    if not found:
        where = f" in {environment}" if environment else ""
        raise NotFound(f"no monitor {slug!r}{where}; `opsbook check-ins list` shows all")
    if len(found) > 1:
        places = ", ".join(f"{m.environment} of project {m.project_id}" for m in found)
        raise Conflict(f"{slug!r} checks in from {places}: say which by its environment")
    return found[0]


async def runs(connection: Connection, monitors: Sequence[Monitor], limit: int) -> dict[int, list[DictRow]]:
    """The newest runs of each, the newest first, by the monitor's number."""
    cursor = await connection.execute(_QUERIES["runs"], {"ids": [m.id for m in monitors], "limit": limit})
    by_monitor: dict[int, list[DictRow]] = {monitor.id: [] for monitor in monitors}
    for row in await cursor.fetchall():
        by_monitor[row["monitor_id"]].append(row)
    return by_monitor


async def of_secret(connection: Connection, secret: str) -> tuple[int, str, str]:
    """Project, name and environment of the monitor whose address carries this secret.

    Raises:
        NotFound: No address does, or no longer.
    """
    row = await (await connection.execute(_QUERIES["of_secret"], {"secret_hash": digest(secret)})).fetchone()
    if row is None:
        raise NotFound("no monitor has this address; `opsbook check-ins address NAME` makes a new one")
    return row["project_id"], row["slug"], row["environment"]


async def new_secret(connection: Connection, monitor: Monitor) -> str:
    """The secret of a new address, shown this once; the old address is no longer valid."""
    secret = new_token()
    await connection.execute(_QUERIES["set_secret"], {"id": monitor.id, "secret_hash": digest(secret)})
    return secret


def path_of(secret: str) -> str:
    """The path of the address that carries a secret."""
    return f"/api/check-in/{secret}"


async def mute(connection: Connection, monitor: Monitor, until: datetime | None) -> None:
    """Let it worry nobody until then; None lets it worry again."""
    await connection.execute(_QUERIES["mute"], {"id": monitor.id, "until": until})


async def delete(connection: Connection, monitor: Monitor) -> None:
    """Forget a monitor and its runs; the audit keeps that it was there."""
    await connection.execute(_QUERIES["delete"], {"id": monitor.id})


async def tidy(connection: Connection) -> None:
    """Forget runs older than 90 days, but for the newest 100 of each monitor."""
    await connection.execute(_QUERIES["tidy"], {"kept": KEPT, "newest": NEWEST_KEPT - 1})


async def _monitors(
    connection: Connection, number: int | None, slug: str | None = None, environment: str | None = None
) -> Sequence[Monitor]:
    cursor = connection.cursor(row_factory=class_row(Monitor))
    parameters = {"id": number, "slug": slug, "environment": environment}
    return await (await cursor.execute(_QUERIES["monitors"], parameters)).fetchall()
