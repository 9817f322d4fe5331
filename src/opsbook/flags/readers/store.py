"""Readers of the flags in the ops database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.flags.readers.confirming import Confirmation
from opsbook.flags.readers.obedience import Obedience, Reader

QUERIES = load_queries("opsbook.flags.readers")
_LOOK_EVERY_SECONDS = 0.03


def parameters_of(confirmation: Confirmation) -> Mapping[str, object]:
    """What the statement `confirm` takes."""
    return {name: getattr(confirmation, name) for name in confirmation.__struct_fields__}


async def confirm(connection: Connection, confirmation: Confirmation) -> None:
    """Note what a reader serves, and that it was seen."""
    await connection.execute(QUERIES["confirm"], parameters_of(confirmation))


async def obedience(connection: Connection, revision: int | None = None) -> Obedience:
    """Who serves a revision or a later one, those that do not first; left out, the newest."""
    rows = await (await connection.execute(QUERIES["readers"], {"revision": revision})).fetchall()
    fields = Reader.__dataclass_fields__
    found = [Reader(**{name: row[name] for name in fields}) for row in rows if row["id"] is not None]
    return Obedience(rows[0]["wanted"], found)


async def obedience_within(connection: Connection, revision: int | None, seconds: float) -> Obedience:
    """As `obedience`, as soon as everybody serves it, or once so many seconds are over."""
    deadline = time.monotonic() + seconds
    while True:
        found = await obedience(connection, revision)
        if not found.behind or time.monotonic() >= deadline:
            return found
        # A change made meanwhile must not move the goal.
        revision = found.revision
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def tidy(connection: Connection) -> None:
    """Forget readers that have been gone for an hour."""
    await connection.execute(QUERIES["tidy"])
