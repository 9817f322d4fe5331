"""Envelopes: a line of headers, then items, each a line of headers and a payload.

Follows the published format ("Envelopes" under develop.sentry.dev/sdk): an item's length is
optional and then ends at the newline, the last newline is optional, an envelope may be empty, and
items of unknown type are kept for the caller to pass over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, cast

import msgspec
import orjson

from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.protocol.identifiers import event_id
from opsbook.debugging.protocol.times import read_time

MOST_ITEMS: Final = 1_000
"""Per envelope; SDKs send one to a few dozen, and put sessions and logs into containers."""

MOST_HEADER_BYTES: Final = 64 * 1024
_NEWLINE: Final = 0x0A
_NEWLINES: Final = re.compile(rb"\n++")


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item: its type, its headers that matter here, and its payload, not yet read."""

    type: str
    payload: memoryview
    item_count: int | None = None
    content_type: str | None = None
    filename: str | None = None
    attachment_type: str | None = None


class Envelope(msgspec.Struct, frozen=True):
    """The headers that matter here, and the items in their order."""

    items: tuple[Item, ...]
    event_id: str | None = None
    dsn: str | None = None
    sent_at: datetime | None = None
    sdk: str | None = None


def parse_envelope(body: bytes) -> Envelope:
    """The envelope in a body that was decompressed. Raises `Malformed` or `TooLarge`."""
    end = _line_end(body, 0)
    headers = _headers(body, 0, end, "envelope")
    items = tuple(_items(body, end + 1))
    return Envelope(
        items,
        event_id=event_id(headers.get("event_id")),
        dsn=_text(headers.get("dsn")),
        sent_at=read_time(headers.get("sent_at")),
        sdk=_sdk(headers.get("sdk")),
    )


def _items(body: bytes, start: int) -> Iterator[Item]:
    view = memoryview(body)
    number = 0
    while (start := _after_newlines(body, start)) < len(body):
        number += 1
        if number > MOST_ITEMS:
            raise TooLarge(f"the envelope has more than {MOST_ITEMS:,} items; send several envelopes")
        end = _line_end(body, start)
        headers = _headers(body, start, end, f"item {number}")
        payload_start = min(end + 1, len(body))
        payload_end = _payload_end(body, payload_start, headers.get("length"), number)
        yield _item(headers, view[payload_start:payload_end], number)
        start = payload_end + 1


def _payload_end(body: bytes, start: int, length: object, number: int) -> int:
    if length is None:
        return _line_end(body, start)
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise Malformed(f"item {number}: its length is not a number of bytes")
    end = start + length
    if end > len(body):
        raise Malformed(f"item {number}: its payload ends before the {length:,} bytes that its header states")
    if end < len(body) and body[end] != _NEWLINE:
        raise Malformed(f"item {number}: no newline after the {length:,} bytes that its header states")
    return end


def _item(headers: dict[str, Any], payload: memoryview, number: int) -> Item:
    kind = headers.get("type")
    if not isinstance(kind, str) or not kind:
        raise Malformed(f"item {number}: its header has no type")
    count = headers.get("item_count")
    return Item(
        kind,
        payload,
        item_count=count if isinstance(count, int) and count >= 0 else None,
        content_type=_text(headers.get("content_type")),
        filename=_text(headers.get("filename")),
        attachment_type=_text(headers.get("attachment_type")),
    )


def _headers(body: bytes, start: int, end: int, of: str) -> dict[str, Any]:
    if end - start > MOST_HEADER_BYTES:
        raise Malformed(f"{of}: its header line is longer than {MOST_HEADER_BYTES:,} bytes")
    try:
        headers: object = orjson.loads(body[start:end])
    except orjson.JSONDecodeError as error:
        raise Malformed(f"{of}: its header line is not JSON") from error
    if not isinstance(headers, dict):
        raise Malformed(f"{of}: its header line is not a JSON object")
    return cast("dict[str, Any]", headers)


def _after_newlines(body: bytes, start: int) -> int:
    """Some SDKs write one newline more between items than the format has."""
    found = _NEWLINES.match(body, start)
    return found.end() if found else start


def _line_end(body: bytes, start: int) -> int:
    end = body.find(b"\n", start)
    return len(body) if end < 0 else end


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _sdk(value: object) -> str | None:
    """`name/version` of the SDK, as its headers have it."""
    if not isinstance(value, dict):
        return None
    sdk = cast("dict[str, object]", value)
    name, version = _text(sdk.get("name")), _text(sdk.get("version"))
    return f"{name}/{version}"[:128] if name and version else name
