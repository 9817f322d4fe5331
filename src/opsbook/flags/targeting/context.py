"""Reading a field of an evaluation context, the same way in every process and in SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

Context = Mapping[str, Any]
Reader = Callable[[Context], "str | None"]

TARGETING_KEY: Final = "targetingKey"
USER_ID: Final = "userId"
SESSION_ID: Final = "sessionId"
_LARGEST: Final = 10**308
"""Beyond it is no number that JSON readers keep (RFC 8259, 6)."""


def as_text(value: object) -> str | None:
    """A field's value as the text that constraints compare; None for what has no plain text.

    Numbers are written without exponent and trailing zeros, as Postgres' `trim_scale` does.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if -_LARGEST < value < _LARGEST else None
        case float() if abs(value) < _LARGEST:
            text = format(Decimal(repr(value)), "f")
            plain = text.rstrip("0").rstrip(".") if "." in text else text
            return "0" if plain == "-0" else plain
        case _:
            return None


def field_reader(field: str) -> Reader:
    """A function that reads one field. `targetingKey` and Unleash's `userId` stand in for each other."""
    alias = {TARGETING_KEY: USER_ID, USER_ID: TARGETING_KEY}.get(field)

    def read(context: Context) -> str | None:
        value = context.get(field)
        if type(value) is str:
            return value
        return as_text(value)

    def read_either(context: Context) -> str | None:
        found = read(context)
        return as_text(context.get(alias)) if found is None and alias else found

    return read_either if alias else read


def sticky_reader(stickiness: str) -> Reader:
    """A function that reads what a percentage sticks to; `default` is the targeting key, else the session."""
    if stickiness != "default":
        return field_reader(stickiness)
    read_key = field_reader(TARGETING_KEY)

    def read(context: Context) -> str | None:
        key = context.get(TARGETING_KEY)
        if type(key) is str and key:
            return key
        return read_key(context) or as_text(context.get(SESSION_ID))

    return read
