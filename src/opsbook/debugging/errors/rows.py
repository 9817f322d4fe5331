"""From an event to the row that is kept of it: scrubbed, grouped, compressed. Pure."""

from __future__ import annotations

import threading
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, cast
from uuid import UUID

import msgspec
import orjson
import zstandard

from opsbook.debugging.grouping import Grouping, culprit, group, title
from opsbook.debugging.protocol.document import Document, read_document
from opsbook.debugging.protocol.event import Event, read_event
from opsbook.debugging.scrubbing import Scrubber
from opsbook.debugging.sourcemaps.symbolication import Lookup, symbolicate

MESSAGE_CHARACTERS: Final = 1_000
"""Of what is searched and listed; the payload has all."""
COMPRESSION_LEVEL: Final = 3
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


def read_row(
    raw: bytes | memoryview,
    *,
    project_id: int,
    received_at: datetime,
    scrubber: Scrubber,
    sent_at: datetime | None = None,
    event_id: str | None = None,
    address: str | None = None,
    lookup: Lookup | None = None,
) -> EventRow:
    """The row of an event's payload. Raises `Malformed` or `TooLarge`."""
    document = read_document(raw)
    _fill_in_address(document, address)
    if lookup and symbolicate(document.value, lookup):
        document.refresh()
    scrubber.scrub_document(document)
    event = read_event(document, received_at=received_at, sent_at=sent_at, event_id=event_id)
    grouping, heading, user_id = group(event), title(event), event.user.key
    return EventRow(
        event_id=event.event_id,
        project_id=project_id,
        hash=grouping.fingerprint,
        parts=_parts(grouping),
        title=heading,
        culprit=culprit(event),
        occurred_at=event.occurred_at,
        received_at=received_at,
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
        payload=compress(document.text),
        payload_bytes=len(document.text),
    )


def compress(text: bytes) -> bytes:
    """As zstd, with the text's length in its header."""
    if not hasattr(_compressors, "own"):
        _compressors.own = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
    return cast("bytes", _compressors.own.compress(text))


def decompress(payload: bytes) -> dict[str, Any]:
    """The event's document from a row's payload."""
    return cast("dict[str, Any]", orjson.loads(zstandard.ZstdDecompressor().decompress(payload)))


_compressors = threading.local()
"""One for each thread: a compressor is not to be shared, and takes longer to make than an event to compress."""


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
