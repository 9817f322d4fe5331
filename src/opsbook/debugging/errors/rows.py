"""From an event to the row that is kept of it: scrubbed, grouped, compressed. Pure."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, cast
from uuid import UUID

import msgspec
import orjson

from opsbook.debugging.errors.compression import Dictionary, compress
from opsbook.debugging.grouping import Grouping, culprit, group, title
from opsbook.debugging.intake.items import Origin
from opsbook.debugging.protocol.document import Document, read_document
from opsbook.debugging.protocol.event import Event, read_event
from opsbook.debugging.sourcemaps.symbolication import symbolicate

MESSAGE_CHARACTERS: Final = 1_000
"""Of what is searched and listed; the payload has all."""
SENDERS_ADDRESS: Final = "{{auto}}"
"""An SDK writes this where it wants the address that we see."""


class EventRow(msgspec.Struct, frozen=True):
    """An event as `error_events` holds it, and what its group and issue need of it."""

    event_id: UUID
    project_id: int
    hash: bytes
    parts: str
    """What the fingerprint was made of, as JSON."""
    title: str
    culprit: str
    occurred_at: datetime
    received_at: datetime
    level: str
    platform: str
    environment: str
    release: str | None
    transaction: str | None
    user_id: str | None
    person: int | None
    trace_id: UUID | None
    message: str
    tags: str
    """As JSON."""
    payload: bytes
    payload_bytes: int


def read_row(raw: bytes | memoryview, origin: Origin, dictionary: Dictionary | None = None) -> EventRow:
    """The row of an event's payload. Raises `Malformed` or `TooLarge`."""
    document = read_document(raw)
    _fill_in_address(document, origin.address)
    if origin.lookup and symbolicate(document.value, origin.lookup):
        document.refresh()
    origin.scrubber.scrub_document(document)
    event = read_event(document, received_at=origin.received_at, sent_at=origin.sent_at, event_id=origin.event_id)
    grouping, heading, user_id = group(event), title(event), event.user.key
    return EventRow(
        event_id=event.event_id,
        project_id=origin.project_id,
        hash=grouping.fingerprint,
        parts=_parts(grouping),
        title=heading,
        culprit=culprit(event),
        occurred_at=event.occurred_at,
        received_at=origin.received_at,
        level=event.level,
        platform=event.platform,
        environment=event.environment,
        release=event.release,
        transaction=event.transaction,
        user_id=user_id,
        person=_person(user_id) if user_id else None,
        trace_id=event.trace_id,
        message=_message(event, heading),
        tags=orjson.dumps(event.tags).decode(),
        payload=compress(document.text, dictionary),
        payload_bytes=len(document.text),
    )


def _fill_in_address(document: Document, address: str | None) -> None:
    user = document.value.get("user")
    if isinstance(user, dict) and cast("dict[str, Any]", user).get("ip_address") == SENDERS_ADDRESS:
        cast("dict[str, Any]", user)["ip_address"] = address
        document.refresh()


def _message(event: Event, heading: str) -> str:
    """The heading, and the log message where that is another."""
    parts = [heading] if not event.message or event.message.startswith(heading) else [heading, event.message]
    return ("\n".join(parts) if event.exceptions else event.message or heading)[:MESSAGE_CHARACTERS]


def _parts(grouping: Grouping) -> str:
    return orjson.dumps([[part.kind, part.text] for part in grouping.parts]).decode()


def _person(user_id: str) -> int:
    return int.from_bytes(blake2b(user_id.encode(), digest_size=8).digest(), signed=True)
