"""One event, whole: its document, its files, what people wrote about it, its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.rows import DictRow

from opsbook.core.errors import NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.errors.dictionaries import read_document
from opsbook.debugging.sourcemaps.maps import read_back

_QUERIES: Final = load_queries("opsbook.debugging.errors")


@dataclass(frozen=True, slots=True)
class EventDetail:
    """An event with what belongs to it."""

    row: DictRow
    document: dict[str, Any]
    """As the SDK sent it, in canonical form and scrubbed; frames of minified scripts are read back to their source."""
    attachments: Sequence[DictRow]
    feedback: Sequence[DictRow]
    older: UUID | None
    """The event of the same issue right before."""
    newer: UUID | None


async def get_event(connection: Connection, event_id: UUID) -> EventDetail:
    """One event.

    Raises:
        NotFound: There is none of that id, or not any more.
    """
    of: dict[str, Any] = {"event_id": event_id}
    row = await (await connection.execute(_QUERIES["event"], of)).fetchone()
    if row is None:
        raise NotFound(
            f"there is no event {event_id.hex}; events are kept for some weeks, and of a flood only some are"
        )
    payload = row.pop("payload")
    groups = await (await connection.execute(_QUERIES["issue_groups"], {"id": row["issue_id"]})).fetchall()
    beside = {**of, "occurred_at": row["occurred_at"], "groups": [group["id"] for group in groups]}
    neighbours = await (await connection.execute(_QUERIES["neighbours"], beside)).fetchone()
    attachments = await (await connection.execute(_QUERIES["attachments"], of)).fetchall()
    feedback = await (await connection.execute(_QUERIES["feedback"], of)).fetchall()
    assert neighbours is not None
    document = await read_back(connection, row["project_id"], await read_document(connection, bytes(payload)))
    return EventDetail(row, document, attachments, feedback, neighbours["older"], neighbours["newer"])


async def get_attachment(connection: Connection, event_id: UUID, attachment: int) -> DictRow:
    """A file of an event, with its content. Raises `NotFound`."""
    parameters = {"event_id": event_id, "id": attachment}
    row = await (await connection.execute(_QUERIES["attachment"], parameters)).fetchone()
    if row is None:
        raise NotFound(f"event {event_id.hex} has no file {attachment}")
    return row
