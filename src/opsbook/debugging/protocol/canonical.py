"""The canonical form of an event, as far as it is read here, stated as types; and bringing a document into it.

The form is the published one ("Event Payloads" under develop.sentry.dev/sdk), the lengths are ours.
A document that fits is taken as it is; one that does not is normalised first. What these types do
not name stays in the document, unread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

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
    MOST_THREADS,
    NAME_CHARACTERS,
    PATH_CHARACTERS,
    TAG_KEY_CHARACTERS,
    TAG_VALUE_CHARACTERS,
)
from opsbook.debugging.protocol.messages import fill_in
from opsbook.debugging.protocol.normalise import fix_common_forms, normalise

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


class Exceptions(msgspec.Struct, gc=False):
    """A chain of exceptions, cause first."""

    values: Annotated[list[ExceptionValue], Meta(max_length=MOST_EXCEPTIONS)]


class Thread(msgspec.Struct, gc=False):
    """A thread and its stack."""

    crashed: bool | None = None
    current: bool | None = None
    stacktrace: Stacktrace | None = None


class Threads(msgspec.Struct, gc=False):
    """All threads of a process."""

    values: Annotated[list[Thread], Meta(max_length=MOST_THREADS)]


class Breadcrumbs(msgspec.Struct, gc=False):
    """What happened before, oldest first."""

    values: Annotated[list[dict[str, Any]], Meta(max_length=MOST_BREADCRUMBS)]


class LogEntry(msgspec.Struct, gc=False):
    """A log message: as a template with parameters, filled in, or both."""

    message: Message | None = None
    formatted: Message | None = None
    params: list[Any] | dict[str, Any] | None = None


class Request(msgspec.Struct, gc=False):
    """The HTTP request that was being served."""

    url: Annotated[str, Meta(max_length=MESSAGE_CHARACTERS)] | None = None
    method: Name | None = None


class Trace(msgspec.Struct, gc=False):
    """The trace that the event belongs to."""

    trace_id: str | None = None


class Contexts(msgspec.Struct, gc=False):
    """What is known of the circumstances."""

    trace: Trace | None = None


class Sdk(msgspec.Struct, gc=False):
    """Who wrote the event."""

    name: Name | None = None
    version: Name | None = None


class CanonicalEvent(msgspec.Struct, gc=False):
    """An event in canonical form."""

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
    logentry: LogEntry | None = None
    exception: Exceptions | None = None
    threads: Threads | None = None
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
    request: Request | None = None
    contexts: Contexts | None = None
    breadcrumbs: Breadcrumbs | None = None
    extra: dict[str, Any] | None = None
    modules: dict[str, str | None] | None = None
    sdk: Sdk | None = None


Scrub = Callable[[Document], bool]
"""Takes secrets out of a document; whether it changed anything."""


def read_canonical(document: Document, scrub: Scrub) -> CanonicalEvent:
    """The event in a document, which is changed where it is not canonical. Raises `Malformed`.

    Scrubbing comes in between: after the log message was put together from parts that say nothing
    alone, and before anything is read.
    """
    if fix_common_forms(document.value):
        document.refresh()
    event = _converted(document)
    if event.logentry and _complete(event.logentry, document.value["logentry"]):
        document.refresh()
    if not scrub(document):
        return event
    scrubbed = _converted(document)
    if event.logentry and scrubbed.logentry and scrubbed.logentry.formatted != event.logentry.formatted:
        # The secret came from a parameter, which alone does not look like one.
        document.value["logentry"].pop("params", None)
        document.refresh()
    return scrubbed


def _converted(document: Document) -> CanonicalEvent:
    try:
        return msgspec.convert(document.value, CanonicalEvent)
    except msgspec.ValidationError:
        normalise(document.value)
        document.refresh()
    try:
        return msgspec.convert(document.value, CanonicalEvent)
    except msgspec.ValidationError as error:
        raise Malformed(f"the event does not have an event's form: {error}") from error


def _complete(entry: LogEntry, written: dict[str, Any]) -> bool:
    """Fill a template in; whether there was one to fill."""
    if entry.formatted or not entry.message or not entry.params:
        return False
    entry.formatted = fill_in(entry.message, entry.params)[:MESSAGE_CHARACTERS]
    written["formatted"] = entry.formatted
    return True
