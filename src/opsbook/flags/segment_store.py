"""Segments in the ops database; the table's triggers check, number, record and announce what is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from opsbook.core.errors import Conflict, NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.flags.store import take_turn

NOT_THERE: Final = 0
"""As an expected revision: there is no such segment yet."""

_QUERIES = load_queries("opsbook.flags")


async def list_segments(connection: Connection) -> Sequence[DictRow]:
    """Every segment by name, with the flags that use it."""
    return await (await connection.execute(_QUERIES["list_segments"])).fetchall()


async def get_segment(connection: Connection, name: str) -> DictRow:
    """One segment, with the flags that use it.

    Raises:
        NotFound: There is none of that name.
    """
    for segment in await list_segments(connection):
        if segment["name"] == name:
            return segment
    raise _missing(name)


async def put_segment(
    connection: Connection,
    name: str,
    constraints: Sequence[Mapping[str, Any]],
    description: str | None = None,
    *,
    expected_revision: int | None = None,
) -> DictRow:
    """Create a segment, or change one; a description left out stays.

    Raises:
        Conflict: It is not at the expected revision: somebody changed it in between.
    """
    await _require(connection, name, expected_revision)
    parameters = {"name": name, "constraints": Jsonb(list(constraints)), "description": description}
    row = await (await connection.execute(_QUERIES["put_segment"], parameters)).fetchone()
    assert row is not None
    return row


async def delete_segment(connection: Connection, name: str, *, expected_revision: int | None = None) -> None:
    """Remove a segment.

    Raises:
        NotFound: There is none of that name.
        Conflict: It is not at the expected revision.
    """
    await _require(connection, name, expected_revision)
    if await (await connection.execute(_QUERIES["delete_segment"], {"name": name})).fetchone() is None:
        raise _missing(name)


async def _require(connection: Connection, name: str, expected_revision: int | None) -> None:
    if expected_revision is None:
        return
    await take_turn(connection)
    row = await (await connection.execute(_QUERIES["segment_revision"], {"name": name})).fetchone()
    revision = row["revision"] if row else NOT_THERE
    if revision != expected_revision:
        now = f"at revision {revision}" if row else "gone"
        was = "new" if expected_revision == NOT_THERE else f"at revision {expected_revision}"
        raise Conflict(
            f"segment {name[:200]!r} is {now}, not {was}: somebody changed it in between; look at it again and retry"
        )


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no segment {name[:200]!r}; `opsbook flags segment list` shows them")
