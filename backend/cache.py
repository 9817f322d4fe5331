"""`@cached(ttl=300)`: remember what a function returned for the same arguments, in this process."""

from __future__ import annotations

import inspect
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

_MISSING = object()


def cached(ttl: float, maximum_entries: int = 1024) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function, method or coroutine function: its result is kept for `ttl` seconds.

    Arguments may be anything hashable, and lists, dicts and sets of such. An exception is not kept. Of a method,
    the object is an argument like any other.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        memory = _Memory(ttl, maximum_entries)

        @wraps(function)
        def plain(*args: P.args, **kwargs: P.kwargs) -> R:
            key = _key(args, kwargs)
            found = memory.get(key)
            return cast("R", memory.put(key, function(*args, **kwargs)) if found is _MISSING else found)

        @wraps(function)
        async def coroutine(*args: P.args, **kwargs: P.kwargs) -> object:
            key = _key(args, kwargs)
            found = memory.get(key)
            return memory.put(key, await cast("Any", function(*args, **kwargs))) if found is _MISSING else found

        return cast("Callable[P, R]", coroutine) if inspect.iscoroutinefunction(function) else plain

    return decorate


class _Memory:
    """Results by key until they expire, or until newer ones need the room."""

    def __init__(self, ttl: float, maximum_entries: int) -> None:
        self._ttl = ttl
        self._maximum_entries = maximum_entries
        self._entries: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> object:
        with self._lock:
            expires_at, value = self._entries.get(key, (0.0, _MISSING))
            return value if time.monotonic() < expires_at else _MISSING

    def put(self, key: Hashable, value: object) -> object:
        with self._lock:
            self._entries[key] = (time.monotonic() + self._ttl, value)
            self._entries.move_to_end(key)
            if len(self._entries) > self._maximum_entries:
                self._entries.popitem(last=False)
        return value


def _key(args: tuple[object, ...], kwargs: dict[str, object]) -> Hashable:
    return _hashable(args), _hashable(kwargs)


def _hashable(value: object) -> Hashable:
    """The value with its type, because 1, 1.0 and True are equal but not the same argument."""
    if isinstance(value, list | tuple):
        return type(value), tuple(_hashable(item) for item in cast("list[object]", value))
    if isinstance(value, set | frozenset):
        return type(value), frozenset(_hashable(item) for item in cast("set[object]", value))
    if isinstance(value, dict):
        items = cast("dict[Hashable, object]", value).items()
        return dict, frozenset((key, _hashable(item)) for key, item in items)
    return type(value), cast("Hashable", value)
