"""About how many bytes a value takes in memory, with everything that it alone refers to."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any, cast

_SHARED = (type, ModuleType, FunctionType)
"""Not counted: they are there anyhow."""


def size_of(value: object) -> int:
    """Bytes, each object counted once; what an extension module holds outside Python's sight is not seen."""
    seen: set[int] = set()
    waiting: list[object] = [value]
    total = 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, _SHARED):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item)
        waiting.extend(_parts(item))
    return total


def _parts(item: object) -> Iterable[object]:
    if isinstance(item, str | bytes | bytearray | int | float | None):
        return ()
    if isinstance(item, Mapping):
        return [part for pair in cast("Mapping[Any, Any]", item).items() for part in pair]
    if isinstance(item, list | tuple | set | frozenset):
        return cast("Iterable[object]", item)
    slots = [name for kind in type(item).__mro__ for name in _names(kind.__dict__.get("__slots__", ()))]
    return [getattr(item, name, None) for name in ("__dict__", *slots)]


def _names(slots: str | Iterable[str]) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots
