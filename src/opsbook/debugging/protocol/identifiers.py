"""Event, trace and span ids in the forms that SDKs write them."""

from __future__ import annotations

from typing import Final
from uuid import UUID

_HEX: Final = frozenset("0123456789abcdef")
NIL: Final = "0" * 32


def event_id(value: object) -> str | None:
    """32 lower-case hexadecimal digits, from those or from a dashed UUID; None for anything else.

    The nil id is refused as well: it would make all its events one.
    """
    if not isinstance(value, str) or len(value) not in {32, 36}:
        return None
    text = value.lower()
    if len(text) == 36:
        if text[8] != "-" or text[13] != "-" or text[18] != "-" or text[23] != "-":
            return None
        text = text.replace("-", "")
    return text if len(text) == 32 and _HEX.issuperset(text) and text != NIL else None


def trace_id(value: object) -> str | None:
    """A trace's id: like an event's."""
    return event_id(value)


def span_id(value: object) -> str | None:
    """16 lower-case hexadecimal digits, or None."""
    if not isinstance(value, str) or len(value) != 16:
        return None
    text = value.lower()
    return text if _HEX.issuperset(text) else None


def as_uuid(identifier: str) -> UUID:
    """An event or trace id as Postgres' uuid."""
    return UUID(hex=identifier)
