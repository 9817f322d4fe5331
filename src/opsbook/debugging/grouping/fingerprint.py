"""The fingerprint of an event, and the parts it was made of, so that a page can say why two events are one issue.

In order: what the SDK was told to group by; else the chain of exceptions, each by its type and the
calls of our own code; else the message without what varies in it. An exception whose stack says
little (no frames, or minified names only) is told apart by its message as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from opsbook.debugging.grouping.frames import FrameKey, calls
from opsbook.debugging.grouping.variables import without_variables
from opsbook.debugging.protocol.canonical import ExceptionValue
from opsbook.debugging.protocol.event import Event

VERSION: Final = 1
"""First byte of every fingerprint: a change of the rules below takes the next number, so that old
groups are neither split nor merged by accident."""

FINGERPRINT_BYTES: Final = 16
Kind = Literal["fingerprint", "type", "frame", "message", "transaction", "level"]
_VARIABLE: Final = re.compile(r"\{\{\s*([\w.]{1,40})\s*\}\}")


class Part(msgspec.Struct, frozen=True):
    """One thing that two events of a group have in common."""

    kind: Kind
    text: str


class Grouping(msgspec.Struct, frozen=True):
    """The fingerprint (16 bytes, the first of them `VERSION`) and what it was made of."""

    fingerprint: bytes
    parts: tuple[Part, ...]


def group(event: Event) -> Grouping:
    """The group that the event belongs to. Equal events give equal groups, on any machine."""
    parts = tuple(_from_sdk(event) if _says_more_than_default(event.fingerprint) else _default(event))
    digest = blake2b(digest_size=FINGERPRINT_BYTES - 1)
    for part in parts:
        digest.update(f"{part.kind}\x1f{part.text}\x1e".encode())
    return Grouping(bytes([VERSION]) + digest.digest(), parts)


def _says_more_than_default(fingerprint: tuple[str, ...]) -> bool:
    return any(fingerprint) and [_VARIABLE.sub(r"\1", text) for text in fingerprint] != ["default"]


def _from_sdk(event: Event) -> Iterator[Part]:
    for text in event.fingerprint:
        if _VARIABLE.sub(r"\1", text) == "default":
            yield from _default(event)
        else:
            yield Part("fingerprint", _VARIABLE.sub(lambda match: _value_of(match[1], match[0], event), text))


def _value_of(variable: str, otherwise: str, event: Event) -> str:
    """What a variable in a fingerprint stands for; one that is not known here stands for itself."""
    last = event.exceptions[-1] if event.exceptions else ExceptionValue()
    values = {
        "error.type": last.type,
        "error.value": last.value or event.message,
        "message": last.value or event.message,
        "transaction": event.transaction,
        "level": event.level,
        "logger": event.logger,
    }
    if variable.startswith("tags."):
        return event.tags.get(variable.removeprefix("tags."), "")
    return (values[variable] or "") if variable in values else otherwise


def _default(event: Event) -> Iterable[Part]:
    if event.exceptions:
        parts = [part for exception in event.exceptions for part in _of_exception(exception, event.platform)]
        if parts:
            return parts
    return list(_of_message(event)) or _of_nothing(event)


def _of_exception(exception: ExceptionValue, platform: str) -> Iterator[Part]:
    synthetic = exception.mechanism is not None and exception.mechanism.synthetic
    if exception.type and not synthetic:
        yield Part("type", exception.type)
    keys = calls(exception.stacktrace.frames, platform) if exception.stacktrace else []
    yield from _of_calls(keys)
    if exception.value and not any(key.is_telling for key in keys):
        yield Part("message", without_variables(exception.value))


def _of_calls(keys: Iterable[FrameKey]) -> Iterator[Part]:
    return (Part("frame", key.text) for key in keys)


def _of_message(event: Event) -> Iterator[Part]:
    text = event.template or event.message
    if text:
        # A template with its placeholders is the same each time; one without was filled in before it was sent.
        yield Part("message", without_variables(text))
    yield from _of_calls(calls(event.frames, event.platform))


def _of_nothing(event: Event) -> Iterable[Part]:
    return [Part("transaction", event.transaction or ""), Part("level", event.level)]
