"""Properties of an event: any JSON object that Postgres can store, within bounds."""

from __future__ import annotations

import json
from typing import Annotated, cast

from pydantic import AfterValidator, JsonValue

MAXIMUM_BYTES = 8 * 1024
MAXIMUM_DEPTH = 8


def storable(properties: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The properties as they are.

    Raises:
        ValueError: They are too large or too deep, or hold text or numbers that `jsonb` does not take: the
            character U+0000, half a surrogate pair, NaN and infinities.
    """
    _check(properties, MAXIMUM_DEPTH)
    size = len(json.dumps(properties, allow_nan=False, ensure_ascii=False).encode())
    if size > MAXIMUM_BYTES:
        raise ValueError(f"properties take {size} bytes as JSON; at most {MAXIMUM_BYTES} are kept")
    return properties


Properties = Annotated[dict[str, JsonValue], AfterValidator(storable)]


def _check(value: object, depth: int) -> None:
    if depth < 0:
        raise ValueError(f"properties are nested more than {MAXIMUM_DEPTH} deep")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("properties hold the character U+0000, which Postgres cannot store")
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            _check(key, depth)
            _check(item, depth - 1)
    if isinstance(value, list):
        for item in cast("list[object]", value):
            _check(item, depth - 1)
