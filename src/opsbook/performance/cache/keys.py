"""What counts as the same call: a key in this process's memory, and a digest that all processes agree on.

Values count by what they are together with their type, so that 1, 1.0 and True are three calls. An object that
tells neither what it is worth (a data class, a pydantic model, an enumeration, `__cache_key__`) counts by its
identity: such a call is known to this process alone, and the object is never kept alive for it.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import struct
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

import msgspec

PLAIN = frozenset({int, str, float, bool, bytes, type(None)})
"""Types whose values are their own key: hashable, and equal only to what they may be confused with."""
ALONE = frozenset({int, str})
"""Of those, the types that need not be named in the key where there is one argument: the most frequent call."""

_LONGEST_PLAIN = 512
"""Characters of arguments that a key in memory holds; longer ones are digested."""
_DIGEST_BYTES = 16
_TOLD_BY_REPR = frozenset({date, time, timedelta, Decimal, Fraction, UUID, complex, range})


class NoKey(Exception):
    """An argument can be told apart from others neither by its value nor by its identity."""


def memory_key(arguments: Sequence[object]) -> Hashable | None:
    """The key of a call with plain arguments, as `cached` also makes it on its fast path; None for all others."""
    length = 0
    for value in arguments:
        kind = type(value)
        if kind not in PLAIN or (kind is float and (not value or value != value)):  # noqa: PLR0124
            return None  # also NaN, which is unequal to itself, and both zeros, which are equal
        if kind is str or kind is bytes:
            length += len(cast("str | bytes", value))
    if length > _LONGEST_PLAIN:
        return None
    if len(arguments) == 1 and type(arguments[0]) in ALONE:
        return cast("Hashable", arguments[0])
    return (*arguments, *map(type, arguments))


def digest(arguments: Sequence[object]) -> tuple[bytes, bool]:
    """Sixteen bytes that stand for the arguments, and whether other processes would compute the same.

    Raises:
        NoKey: An argument can't be told apart from others.
    """
    writer = _Writer()
    try:
        writer.sequence(b"(", arguments)
    except RecursionError as error:
        raise NoKey("an argument contains itself, or is nested too deeply") from error
    return blake2b(b"".join(writer.parts), digest_size=_DIGEST_BYTES).digest(), writer.is_shared


class _Writer:
    """Writes values so that two differ in bytes exactly where they differ in type or worth."""

    __slots__ = ("is_shared", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_shared = True

    def write(self, value: object) -> None:
        kind = type(value)
        if part := _PARTS.get(kind):
            self.parts.append(part(value))
        elif writer := _WRITERS.get(kind):
            writer(self, value)
        elif kind in _TOLD_BY_REPR:
            self.text(b"r", f"{kind.__qualname__} {value!r}")
        else:
            self.other(value)

    def text(self, tag: bytes, text: str) -> None:
        self.parts.append(_text(tag, text))

    def sequence(self, tag: bytes, items: Sequence[object]) -> None:
        self.parts.append(b"%b%d:" % (tag, len(items)))
        for item in items:
            self.write(item)

    def unordered(self, tag: bytes, items: Iterable[object]) -> None:
        written = sorted(map(self._apart, items))
        self.parts.append(b"%b%d:" % (tag, len(written)))
        self.parts += written

    def named(self, value: object, content: object) -> None:
        """Content under the name of the value's class."""
        self.text(b"c", _qualified(type(value)))
        self.write(content)

    def other(self, value: object) -> None:
        """A value of a class that is not built in."""
        if isinstance(value, type):
            self.text(b"y", _qualified(value))
        elif callable(key := getattr(value, "__cache_key__", None)):
            self.named(value, key())
        elif isinstance(value, enum.Enum):
            self.named(value, value.name)
        elif (content := _content(value)) is not _NONE:
            self.named(value, content)
        else:
            self.is_shared = False
            self.parts.append(b"#%d;" % _identity(value))

    def _apart(self, item: object) -> bytes:
        part = _Writer()
        part.write(item)
        self.is_shared &= part.is_shared
        return b"".join(part.parts)


_NONE = object()
_BASES: tuple[type[Any], ...] = (str, bytes, int, float, tuple, list, dict, set, frozenset)


def _content(value: object) -> object:
    """What a value is made of, where its class says so; else `_NONE`."""
    if dataclasses.is_dataclass(value) and value.__dataclass_params__.eq:  # pyright: ignore[reportAttributeAccessIssue]
        return [getattr(value, field.name) for field in dataclasses.fields(value) if field.compare]
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    if hasattr(type(value), "__pydantic_fields__"):
        return [vars(value), getattr(value, "__pydantic_extra__", None)]
    if isinstance(value, PurePath):
        return str(value)
    base = next((base for base in _BASES if isinstance(value, base)), None)
    return _NONE if base is None else base(value)


def _qualified(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


_numbers = itertools.count(1)
_known: dict[int, tuple[weakref.ref[object], int]] = {}


def _identity(value: object) -> int:
    """A number that no other object of this process has or will have, even at the same address."""
    place = id(value)
    found = _known.get(place)
    if found is not None and found[0]() is value:
        return found[1]
    try:
        reference = weakref.ref(value, lambda gone: _forget(place, gone))
    except TypeError as error:
        raise NoKey(
            f"{_qualified(type(value))} has neither a value to compare nor a place for weak references;"
            " give it __cache_key__(), or the decorator key="
        ) from error
    number = next(_numbers)
    _known[place] = (reference, number)
    return number


def _forget(place: int, gone: weakref.ref[object]) -> None:
    found = _known.get(place)
    if found is not None and found[0] is gone:
        del _known[place]


def _write_dict(writer: _Writer, value: Any) -> None:
    writer.unordered(b"{", list(value.items()))


def _text(tag: bytes, text: str) -> bytes:
    return _data(tag, text.encode("utf-8", "surrogatepass"))


def _data(tag: bytes, data: bytes | bytearray) -> bytes:
    return b"%b%d:%b" % (tag, len(data), data)


_PARTS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"n",
    bool: lambda value: b"t" if value else b"f",
    int: lambda value: b"i%x;" % value,
    float: lambda value: b"d" + struct.pack(">d", value),
    str: lambda value: _text(b"s", value),
    bytes: lambda value: _data(b"b", value),
    bytearray: lambda value: _data(b"a", value),
    # With the zone's name, for what a function says of a moment may hang on it; but not with the zone's class.
    datetime: lambda value: _text(b"m", f"{value.isoformat()} {value.fold} {value.tzname()}"),
}
_WRITERS: dict[type, Callable[[_Writer, Any], None]] = {
    tuple: lambda writer, value: writer.sequence(b"(", value),
    list: lambda writer, value: writer.sequence(b"[", value),
    set: lambda writer, value: writer.unordered(b"<", value),
    frozenset: lambda writer, value: writer.unordered(b">", value),
    dict: _write_dict,
}
