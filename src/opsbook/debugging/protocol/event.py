"""An error event: the parts that searching and grouping read, typed, and the whole document for its page.

The types below say what the canonical form is ("Event Payloads" under develop.sentry.dev/sdk). A
document that fits them is taken as it is; one that does not is normalised first.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec import Meta

from opsbook.debugging.protocol import identifiers
from opsbook.debugging.protocol.document import Document
from opsbook.debugging.protocol.errors import Malformed
from opsbook.debugging.protocol.limits import (
    ENVIRONMENT_CHARACTERS,
    MESSAGE_CHARACTERS,
    MOST_BREADCRUMBS,
    MOST_EXCEPTIONS,
    MOST_FINGERPRINT_PARTS,
    MOST_FRAMES,
    MOST_TAGS,
    NAME_CHARACTERS,
    PATH_CHARACTERS,
    TAG_KEY_CHARACTERS,
    TAG_VALUE_CHARACTERS,
)
from opsbook.debugging.protocol.messages import fill_in
from opsbook.debugging.protocol.normalise import normalise, wrap_lists
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

Name = Annotated[str, Meta(max_length=NAME_CHARACTERS)]
Path = Annotated[str, Meta(max_length=PATH_CHARACTERS)]
Message = Annotated[str, Meta(max_length=MESSAGE_CHARACTERS)]


class Frame(msgspec.Struct, gc=False):
    """One call on the stack."""

    function: Path | None = None
    module: Path | None = None
    filename: Path | None = None
    abs_path: Path | None = None
    package: Path | None = None
    context_line: str | None = None
    lineno: int | None = None
    in_app: bool | None = None


class Stacktrace(msgspec.Struct, gc=False):
    """Calls, outermost first."""

    frames: Annotated[list[Frame], Meta(max_length=MOST_FRAMES)]


class Mechanism(msgspec.Struct, gc=False):
    """How the exception was caught; a synthetic one has a type that says nothing."""

    type: Path | None = None
    handled: bool | None = None
    synthetic: bool | None = None


class ExceptionValue(msgspec.Struct, gc=False):
    """One exception of a chain."""

    type: Path | None = None
    value: Message | None = None
    module: Path | None = None
    stacktrace: Stacktrace | None = None
    mechanism: Mechanism | None = None


class User(msgspec.Struct, gc=False):
    """Who met the error."""

    id: Name | None = None
    email: Name | None = None
    username: Name | None = None
    ip_address: Name | None = None

    @property
    def key(self) -> str | None:
        """What tells this person from others: the id if there is one, else the next best."""
        return self.id or self.email or self.username or self.ip_address


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
    document: Document, *, received_at: datetime, sent_at: datetime | None = None, event_id: str | None = None
) -> Event:
    """The event in a document, which is brought into canonical form if it is not.

    `sent_at` and `event_id` are those of the envelope; the event's own id goes first, and one that
    has neither gets a random one. Raises `Malformed` for what cannot be an event.
    """
    wire = _read_wire(document)
    identifier = identifiers.event_id(wire.event_id) or event_id
    uuid = identifiers.as_uuid(identifier) if identifier else uuid4()
    claimed_at = read_time(wire.timestamp)
    entry = wire.logentry or _LogEntry()
    template = entry.message or wire.message
    request = wire.request or _Request()
    return Event(
        event_id=uuid,
        occurred_at=correct(claimed_at, sent_at, received_at),
        received_at=received_at,
        claimed_at=claimed_at,
        level=LEVELS.get((wire.level or "error").lower(), "error"),
        platform=wire.platform or "other",
        environment=wire.environment or DEFAULT_ENVIRONMENT,
        release=wire.release or None,
        transaction=wire.transaction or None,
        logger=wire.logger or None,
        server_name=wire.server_name or None,
        user=wire.user or User(),
        trace_id=_trace_id(wire),
        message=entry.formatted or fill_in(template or "", entry.params)[:MESSAGE_CHARACTERS],
        template=template,
        exceptions=tuple(wire.exception.values) if wire.exception else (),
        frames=_frames(wire),
        fingerprint=tuple(wire.fingerprint or ()),
        tags=wire.tags or {},
        url=request.url,
        method=request.method,
        sdk=_sdk(wire.sdk),
        document=document.value,
    )


class _Exceptions(msgspec.Struct, gc=False):
    values: Annotated[list[ExceptionValue], Meta(max_length=MOST_EXCEPTIONS)]


class _Thread(msgspec.Struct, gc=False):
    crashed: bool | None = None
    current: bool | None = None
    stacktrace: Stacktrace | None = None


class _Threads(msgspec.Struct, gc=False):
    values: list[_Thread]


class _Breadcrumbs(msgspec.Struct, gc=False):
    values: Annotated[list[dict[str, Any]], Meta(max_length=MOST_BREADCRUMBS)]


class _LogEntry(msgspec.Struct, gc=False):
    message: Message | None = None
    formatted: Message | None = None
    params: list[Any] | dict[str, Any] | None = None


class _Request(msgspec.Struct, gc=False):
    url: Annotated[str, Meta(max_length=MESSAGE_CHARACTERS)] | None = None
    method: Name | None = None


class _Trace(msgspec.Struct, gc=False):
    trace_id: str | None = None


class _Contexts(msgspec.Struct, gc=False):
    trace: _Trace | None = None


class _Sdk(msgspec.Struct, gc=False):
    name: Name | None = None
    version: Name | None = None


class _Wire(msgspec.Struct, gc=False):
    """The canonical form of what is read here; other attributes stay in the document, unread."""

    event_id: str | None = None
    timestamp: str | float | None = None
    level: str | None = None
    platform: Name | None = None
    environment: Annotated[str, Meta(max_length=ENVIRONMENT_CHARACTERS)] | None = None
    release: Name | None = None
    dist: Name | None = None
    transaction: Name | None = None
    logger: Name | None = None
    server_name: Name | None = None
    message: Message | None = None
    logentry: _LogEntry | None = None
    exception: _Exceptions | None = None
    threads: _Threads | None = None
    stacktrace: Stacktrace | None = None
    fingerprint: Annotated[list[Path], Meta(max_length=MOST_FINGERPRINT_PARTS)] | None = None
    user: User | None = None
    tags: (
        Annotated[
            dict[
                Annotated[str, Meta(max_length=TAG_KEY_CHARACTERS)],
                Annotated[str, Meta(max_length=TAG_VALUE_CHARACTERS)],
            ],
            Meta(max_length=MOST_TAGS),
        ]
        | None
    ) = None
    request: _Request | None = None
    contexts: _Contexts | None = None
    breadcrumbs: _Breadcrumbs | None = None
    extra: dict[str, Any] | None = None
    modules: dict[str, str | None] | None = None
    sdk: _Sdk | None = None


def _read_wire(document: Document) -> _Wire:
    if wrap_lists(document.value):
        document.refresh()
    try:
        return msgspec.convert(document.value, _Wire)
    except msgspec.ValidationError:
        normalise(document.value)
        document.refresh()
    try:
        return msgspec.convert(document.value, _Wire)
    except msgspec.ValidationError as error:
        raise Malformed(f"the event does not have an event's form: {error}") from error


def _trace_id(wire: _Wire) -> UUID | None:
    trace = wire.contexts.trace if wire.contexts else None
    identifier = identifiers.trace_id(trace.trace_id) if trace else None
    return identifiers.as_uuid(identifier) if identifier else None


def _frames(wire: _Wire) -> tuple[Frame, ...]:
    """Of the stack that the event itself carries, else of the thread that crashed or ran."""
    if wire.stacktrace and wire.stacktrace.frames:
        return tuple(wire.stacktrace.frames)
    threads = [thread for thread in (wire.threads.values if wire.threads else []) if thread.stacktrace]
    chosen = [thread for thread in threads if thread.crashed] or [thread for thread in threads if thread.current]
    stacktrace = chosen[0].stacktrace if chosen else None
    return tuple(stacktrace.frames) if stacktrace else ()


def _sdk(sdk: _Sdk | None) -> str | None:
    return f"{sdk.name}/{sdk.version or '?'}" if sdk and sdk.name else None
