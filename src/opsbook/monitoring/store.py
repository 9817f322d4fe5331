"""Runs the chapter's statements, each on a connection of its own: they are asked for every ten seconds."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from opsbook.core.postgres.connect import Connection, connect
from opsbook.core.queries import load_queries
from opsbook.monitoring.probe import APPLICATION_NAME, hang_up_when_cancelled

_QUERIES = load_queries("opsbook.monitoring")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What the workers have last said."""

    seconds_ago: float | None
    """Age of the newest sign of life; None when no worker is known."""
    workers: int
    work_is_waiting: bool
    """Whether a job has been due for longer than a worker at work would let it lie."""
    has_worked: bool
    """Whether any worker has ever begun periodic work."""


async def worker_heartbeat(url: str) -> Heartbeat | None:
    """The workers' last sign of life in the ops database; None where the job tables do not exist.

    Raises:
        Unavailable: The database does not answer.
    """
    async with connect(url, APPLICATION_NAME) as connection:
        return await hang_up_when_cancelled(connection, _heartbeat(connection))


async def _heartbeat(connection: Connection) -> Heartbeat | None:
    try:
        async with connection.cursor(row_factory=class_row(Heartbeat)) as cursor:
            return await (await cursor.execute(_QUERIES["worker_heartbeat"])).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
