"""An error event: the parts that searching and grouping read, typed, and the whole document for its page."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from opsbook.debugging.protocol import identifiers
from opsbook.debugging.protocol.canonical import (
    CanonicalEvent,
    ExceptionValue,
    Frame,
    LogEntry,
    Request,
    Scrub,
    Sdk,
    User,
    read_canonical,
)
from opsbook.debugging.protocol.document import Document
from opsbook.debugging.protocol.times import correct, read_time

DEFAULT_ENVIRONMENT: Final = "production"
"""Of an event that names none, as in Sentry."""

LEVELS: Final = {
    spelling: level
    for level, spellings in {
        "fatal": ("fatal", "critical", "50"),
        "error": ("error", "40"),
        "warning": ("warning", "warn", "30"),
        "info": ("info", "log", "notice", "20"),
        "debug": ("debug", "trace", "10"),
    }.items()
    for spelling in spellings
}
"""The level for each way to write it; numbers are those of Python's logging."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One error event. Texts hold neither NULs nor surrogates and are within the stated limits."""

    event_id: UUID
    occurred_at: datetime
    """By our clock; `claimed_at` is what the sender wrote."""
    received_at: datetime
    claimed_at: datetime | None
    level: str
    platform: str
    environment: str
    release: str | None
    transaction: str | None
    logger: str | None
    server_name: str | None
    user: User
    trace_id: UUID | None
    message: str
    """The log message with its parameters filled in; empty where the event is an exception alone."""
    template: str | None
    """The log message before that."""
    exceptions: tuple[ExceptionValue, ...]
    """The chain, cause first."""
    frames: tuple[Frame, ...]
    """The stack of an event without exception."""
    fingerprint: tuple[str, ...]
    tags: dict[str, str]
    url: str | None
    method: str | None
    sdk: str | None
    document: dict[str, Any]


def read_event(
    document: Document,
    *,
    received_at: datetime,
    sent_at: datetime | None = None,
    event_id: str | None = None,
    scrub: Scrub = lambda _: False,
) -> Event:
    """The event in a document, which is brought into canonical form if it is not, and scrubbed.

    `sent_at` and `event_id` are those of the envelope; the event's own id goes first, and one that
    has neither gets a random one. Raises `Malformed` for what cannot be an event.
    """
    canonical = read_canonical(document, scrub)
    identifier = identifiers.event_id(canonical.event_id) or event_id
    uuid = identifiers.as_uuid(identifier) if identifier else uuid4()
    claimed_at = read_time(canonical.timestamp)
    entry = canonical.logentry or LogEntry()
    template = entry.message or canonical.message
    request = canonical.request or Request()
    return Event(
        event_id=uuid,
        occurred_at=correct(claimed_at, sent_at, received_at),
        received_at=received_at,
        claimed_at=claimed_at,
        level=LEVELS.get((canonical.level or "error").lower(), "error"),
        platform=canonical.platform or "other",
        environment=canonical.environment or DEFAULT_ENVIRONMENT,
        release=canonical.release or None,
        transaction=canonical.transaction or None,
        logger=canonical.logger or None,
        server_name=canonical.server_name or None,
        user=canonical.user or User(),
        trace_id=_trace_id(canonical),
        message=entry.formatted or template or "",
        template=template,
        exceptions=tuple(canonical.exception.values) if canonical.exception else (),
        frames=_frames(canonical),
        fingerprint=tuple(canonical.fingerprint or ()),
        tags=canonical.tags or {},
        url=request.url,
        method=request.method,
        sdk=_sdk(canonical.sdk),
        document=document.value,
    )


def _trace_id(canonical: CanonicalEvent) -> UUID | None:
    trace = canonical.contexts.trace if canonical.contexts else None
    identifier = identifiers.trace_id(trace.trace_id) if trace else None
    return identifiers.as_uuid(identifier) if identifier else None


def _frames(canonical: CanonicalEvent) -> tuple[Frame, ...]:
    """Of the stack that the event itself carries, else of the thread that crashed or ran."""
    if canonical.stacktrace and canonical.stacktrace.frames:
        return tuple(canonical.stacktrace.frames)
    threads = [thread for thread in (canonical.threads.values if canonical.threads else []) if thread.stacktrace]
    chosen = [thread for thread in threads if thread.crashed] or [thread for thread in threads if thread.current]
    stacktrace = chosen[0].stacktrace if chosen else None
    return tuple(stacktrace.frames) if stacktrace else ()


def _sdk(sdk: Sdk | None) -> str | None:
    return f"{sdk.name}/{sdk.version or '?'}" if sdk and sdk.name else None
