"""How a single value is brought into the form it should have: the pieces that normalising is put together from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import orjson

Fix = Callable[[Any], Any]
"""Gives the canonical form of a value, or None where it has none."""

Keep = Callable[[list[Any]], list[Any]]
"""Which entries of a list are kept."""


def text(most: int) -> Fix:
    """Text of at most so many characters."""

    def fix(value: Any) -> str | None:
        if isinstance(value, str):
            return value if len(value) <= most else value[: most - 3] + "..."
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)[:most]
        return None

    return fix


def any_text(most: int) -> Fix:
    """Text, or the JSON of whatever else."""
    plain = text(most)

    def fix(value: Any) -> str | None:
        written = plain(value)
        return orjson.dumps(value).decode()[:most] if written is None else written

    return fix


def flag(value: Any) -> bool | None:
    """A boolean, also from 0 and 1 and from their names."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, int) else None


def integer(value: Any) -> int | None:
    """A whole number of at most 31 bits, also from text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip()
        value = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None
    if isinstance(value, float):
        value = int(value) if abs(value) < 2**31 else None
    return value if isinstance(value, int) and abs(value) < 2**31 else None


def number_or_text(value: Any) -> str | float | None:
    """A number or a text as it is."""
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def fields(**fixes: Fix) -> Fix:
    """An object, whose named fields are fixed and lose what cannot be; other fields stay."""

    def fix(value: Any) -> dict[str, Any] | None:
        found = as_object(value)
        if found is None:
            return None
        for name, fix_field in fixes.items():
            if found.get(name) is not None:
                found[name] = fix_field(found[name])
        return found

    return fix


def each(fix: Fix, keep: Keep) -> Fix:
    """A list, fixed one by one; nulls and what cannot be fixed are left out."""

    def fix_all(value: Any) -> list[Any] | None:
        if not isinstance(value, list):
            return None
        fixed = map(fix, keep(cast("list[Any]", value)))
        return [entry for entry in fixed if entry is not None]

    return fix_all


def listed(name: str, fix: Fix, keep: Keep) -> Fix:
    """`{name: [...]}`, also where the list, or its only entry (known by its `type`), was sent bare."""
    fix_list = each(fix, keep)

    def fix_all(value: Any) -> dict[str, Any] | None:
        if isinstance(value, list):
            return {name: fix_list(value)}
        found = as_object(value)
        if found is None:
            return None
        if "type" in found and name not in found:
            return {name: fix_list([found])}
        found[name] = fix_list(found.get(name)) or []
        return found

    return fix_all


def first(most: int) -> Keep:
    """Keeps the first ones."""
    return lambda entries: entries[:most]


def last(most: int) -> Keep:
    """Keeps the last ones."""
    return lambda entries: entries[-most:]


def ends(most: int) -> Keep:
    """Keeps the first and the last ones, as many of each."""
    return lambda entries: entries if len(entries) <= most else [*entries[: most // 2], *entries[-(most - most // 2) :]]


def as_object(value: Any) -> dict[str, Any] | None:
    """The value, if it is a JSON object."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    """The pairs of an object, or of a list of pairs."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).items()
    if isinstance(value, list):
        entries = cast("list[Any]", value)
        return [(entry[0], entry[1]) for entry in entries if isinstance(entry, list) and len(entry) == 2]
    return []
