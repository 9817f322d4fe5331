"""Keeps what people wrote about an event: feedback, and its older form, user reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.intake.items import Count, Counts, Kept, Origin
from opsbook.debugging.protocol.document import read_document
from opsbook.debugging.protocol.envelope import Item
from opsbook.debugging.protocol.errors import Malformed
from opsbook.debugging.protocol.identifiers import as_uuid, event_id

CATEGORY: Final = "feedback"
MESSAGE_CHARACTERS: Final = 4_096
NAME_CHARACTERS: Final = 200
ROW_BYTES: Final = 500
"""On disk, with its indexes, beside the message."""
_QUERIES: Final = load_queries("opsbook.debugging.errors")


class Feedback(msgspec.Struct, frozen=True):
    """What somebody wrote, about which event."""

    project_id: int
    event_id: UUID
    received_at: datetime
    name: str | None
    email: str | None
    message: str
    url: str | None


class UserReportStore:
    """The store of `user_report` items: `event_id`, `name`, `email`, `comments`."""

    def read(self, item: Item, origin: Origin) -> Sequence[Feedback]:
        report = _scrubbed(item, origin)
        return (_feedback(report, report.get("comments"), report.get("event_id"), origin),)

    async def write(self, connection: Connection, rows: Sequence[Feedback], counts: Counts) -> Kept:
        return await _write(connection, rows, counts)


class FeedbackStore:
    """The store of `feedback` items: events whose context `feedback` has the message."""

    def read(self, item: Item, origin: Origin) -> Sequence[Feedback]:
        contexts = _scrubbed(item, origin).get("contexts")
        context = cast("dict[str, Any]", contexts).get("feedback") if isinstance(contexts, dict) else None
        if not isinstance(context, dict):
            raise Malformed("a feedback needs the context `feedback`")
        given = cast("dict[str, Any]", context)
        about = given.get("associated_event_id") or origin.event_id
        return (_feedback({**given, "email": given.get("contact_email")}, given.get("message"), about, origin),)

    async def write(self, connection: Connection, rows: Sequence[Feedback], counts: Counts) -> Kept:
        return await _write(connection, rows, counts)


def _scrubbed(item: Item, origin: Origin) -> dict[str, Any]:
    document = read_document(item.payload)
    origin.scrubber.scrub_document(document)
    return document.value


def _feedback(given: dict[str, Any], message: object, about: object, origin: Origin) -> Feedback:
    identifier = event_id(about)
    if identifier is None or not isinstance(message, str) or not message.strip():
        raise Malformed("a feedback needs a message and the id of its event")
    return Feedback(
        origin.project_id,
        as_uuid(identifier),
        origin.received_at,
        _text(given.get("name")),
        _text(given.get("email")),
        message.strip()[:MESSAGE_CHARACTERS],
        _text(given.get("url")),
    )


def _text(value: object) -> str | None:
    return value[:NAME_CHARACTERS] or None if isinstance(value, str) else None


async def _write(connection: Connection, rows: Sequence[Feedback], counts: Counts) -> Kept:
    await connection.execute(
        _QUERIES["add_feedback"],
        {
            "projects": [row.project_id for row in rows],
            "events": [row.event_id for row in rows],
            "received": [row.received_at for row in rows],
            "names": [row.name for row in rows],
            "emails": [row.email for row in rows],
            "messages": [row.message for row in rows],
            "urls": [row.url for row in rows],
        },
    )
    for project_id, written in Counter(row.project_id for row in rows).items():
        counts[Count(project_id, CATEGORY, "accepted")] += written
    kept = Kept()
    for row in rows:
        kept[row.project_id] += ROW_BYTES + len(row.message.encode())
    return kept
