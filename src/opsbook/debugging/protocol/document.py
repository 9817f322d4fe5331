"""An event's JSON made safe to keep: any text Postgres would refuse is replaced, whatever is too long or deep is cut.

Well-formed events of ordinary size pass untouched and fast. Everything else goes through a repair
that never recurses further than `MOST_DEPTH`. What was cut is noted under `_meta`, in the form that
SDKs use themselves: `{"path": {"": {"len": 10485760, "rem": [["!limit", "x", 16381, 16384]]}}}`.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, cast

import msgspec
import orjson

from opsbook.debugging.protocol.errors import Malformed, TooLarge

MOST_CHARACTERS: Final = 16_384
"""Of any string in an event."""

MOST_KEY_CHARACTERS: Final = 200
MOST_DEPTH: Final = 50
MOST_ENTRIES: Final = 2_000
"""Of any one list or object."""

MOST_VALUES: Final = 250_000
"""Of the event as sent: at about 100 bytes each, more would take more memory than an event is worth."""

MOST_TEXT_BYTES: Final = 1024 * 1024
"""Of what is left: the size that Sentry itself accepts."""

ELLIPSIS: Final = "..."
CUT: Final = "[deeper levels cut]"
"""Stands where `MOST_DEPTH` was reached."""

_NUL_ESCAPE: Final = rb"\u0000"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""A string, or a bracket. A string that never ends is one too: else each quote in it would be tried as a beginning."""


class Document(msgspec.Struct):
    """A JSON object, and its text as orjson writes it: UTF-8 without escapes that could hide a word."""

    value: dict[str, Any]
    text: bytes

    def refresh(self) -> None:
        """Write the text anew after the value was changed."""
        self.text = orjson.dumps(self.value)


def read_document(raw: bytes | memoryview) -> Document:
    """The object in an event's payload, safe to keep. Raises `Malformed` or `TooLarge`."""
    raw = bytes(raw)
    if len(raw) > MOST_CHARACTERS and raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MOST_VALUES:
        raise TooLarge(f"the event has more than {MOST_VALUES:,} values; send less context with it")
    try:
        value, is_sound = orjson.loads(raw), True
    except orjson.JSONDecodeError:
        value, is_sound = _repaired(raw), False
    if not isinstance(value, dict):
        raise Malformed("the event is not a JSON object")
    document = Document(cast("dict[str, Any]", value), b"")
    if not (is_sound and _is_plain(document)):
        _bound(document)
    if len(document.text) > MOST_TEXT_BYTES:
        raise TooLarge(f"the event is larger than {MOST_TEXT_BYTES:,} bytes even with its long strings cut")
    return document


def _repaired(raw: bytes) -> object:
    """What the standard library makes of it, which allows lone surrogates, NaN and control characters."""
    text = _shallow(raw.decode("utf-8-sig", "replace"))
    try:
        return json.loads(text, strict=False, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise Malformed("the event is not JSON") from error


def _shallow(text: str) -> str:
    """The same JSON with everything below `MOST_DEPTH` replaced; brackets in strings do not count."""
    kept: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "[{":
            depth += 1
            if depth == MOST_DEPTH + 1:
                kept.append(text[start : token.start()])
        elif mark in "]}":
            depth -= 1
            if depth == MOST_DEPTH:
                kept.append(f'"{CUT}"')
                start = token.end()
    if not kept:
        return text
    return "".join([*kept, text[start:]]) if depth <= MOST_DEPTH else ""


def _integer(digits: str) -> float | int:
    return int(digits) if len(digits) < 19 else float(digits)


def _is_plain(document: Document) -> bool:
    """Whether nothing needs cutting or replacing; writes the text on the way."""
    try:
        document.refresh()
    except (TypeError, ValueError):  # lone surrogates, or deeper than orjson writes
        return False
    if _NUL_ESCAPE in document.text:
        return False
    # No string and no key is longer than the whole.
    return len(document.text) <= MOST_CHARACTERS or _is_bounded(document.value)


def _is_bounded(root: dict[str, Any]) -> bool:
    """Whether all strings and collections are within the limits; depth is orjson's, 254, at most."""
    waiting: list[Any] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            if len(node) > MOST_CHARACTERS:
                return False
        elif isinstance(node, dict):
            if len(node) > MOST_ENTRIES:
                return False
            waiting.extend(node.values())
        elif isinstance(node, list):
            if len(node) > MOST_ENTRIES:
                return False
            waiting.extend(node)
    return True


def _bound(document: Document) -> None:
    notes: dict[str, Any] = {}
    document.value = _bounded(document.value, 0, notes)
    if notes:
        earlier = document.value.get("_meta")
        document.value["_meta"] = {**earlier, **notes} if isinstance(earlier, dict) else notes
    document.refresh()


def _bounded(value: Any, depth: int, notes: dict[str, Any]) -> Any:
    """The value within the limits; what was cut from it and below is noted in `notes`."""
    if isinstance(value, str):
        return _bounded_text(value, notes)
    if isinstance(value, dict | list):
        if depth >= MOST_DEPTH:
            return CUT
        return _bounded_object(value, depth, notes) if isinstance(value, dict) else _bounded_list(value, depth, notes)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _bounded_text(text: str, notes: dict[str, Any]) -> str:
    text = clean(text)
    if len(text) <= MOST_CHARACTERS:
        return text
    kept = MOST_CHARACTERS - len(ELLIPSIS)
    notes[""] = {"len": len(text), "rem": [["!limit", "x", kept, MOST_CHARACTERS]]}
    return text[:kept] + ELLIPSIS


def _bounded_object(value: dict[str, Any], depth: int, notes: dict[str, Any]) -> dict[str, Any]:
    if len(value) > MOST_ENTRIES:
        notes[""] = {"len": len(value), "rem": [["!limit", "x", MOST_ENTRIES, len(value)]]}
    kept: dict[str, Any] = {}
    for key, child in list(value.items())[:MOST_ENTRIES]:
        below: dict[str, Any] = {}
        name = clean(key)[:MOST_KEY_CHARACTERS]
        kept[name] = _bounded(child, depth + 1, below)
        if below:
            notes[name] = below
    return kept


def _bounded_list(value: list[Any], depth: int, notes: dict[str, Any]) -> list[Any]:
    if len(value) > MOST_ENTRIES:
        notes[""] = {"len": len(value), "rem": [["!limit", "x", MOST_ENTRIES, len(value)]]}
    kept: list[Any] = []
    for index, child in enumerate(value[:MOST_ENTRIES]):
        below: dict[str, Any] = {}
        kept.append(_bounded(child, depth + 1, below))
        if below:
            notes[str(index)] = below
    return kept


def clean(text: str) -> str:
    """Text that UTF-8 and Postgres can hold: U+FFFD for NULs and for surrogates without a partner."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if _SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
