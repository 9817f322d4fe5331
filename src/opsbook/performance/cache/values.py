"""Values as they travel between processes: MessagePack or JSON, never anything that could run code.

Where a function says what it returns, in terms that msgspec or pydantic can check, its values are read back as
that; where it says nothing, only what MessagePack itself can tell apart. A value that would not come back equal
is not sent.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from zlib import crc32

import msgspec
from msgspec import inspect as kinds

from opsbook.performance.cache.keys import digest

_NATIVE = frozenset({str, int, float, bool, bytes, type(None)})


class CannotTravel(Exception):
    """A value that would not come back equal; it is kept in this process's memory only."""


class Unreadable(Exception):
    """Bytes that are no value of this function's: damaged, forged, or another version's."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How the values of one function are written and read."""

    fingerprint: int
    """Of the declared type: entries that another version of the code wrote with another type are not read."""
    _write: Callable[[Any], bytes]
    _read: Callable[[bytes], Any]
    _comes_back: Callable[[Any, bytes], bool]

    def encode(self, value: object) -> bytes:
        """The value's bytes.

        Raises:
            CannotTravel: It would not come back equal.
        """
        try:
            data = self._write(value)
            if self._comes_back(value, data):
                return data
        except Exception as error:
            # A class may raise whatever it likes while it is taken apart; the function must work all the same.
            raise CannotTravel(f"{type(error).__name__}: {error}") from error
        raise CannotTravel(f"a {type(value).__qualname__} would not come back as it went; annotate what is returned")

    def decode(self, data: bytes) -> object:
        """The value of these bytes.

        Raises:
            Unreadable: There is none in them.
        """
        try:
            return self._read(data)
        except Exception as error:
            # As above: a class may raise whatever it likes while it is put together.
            raise Unreadable(f"{type(error).__name__}: {error}") from error


def codec_of(function: Callable[..., object]) -> Codec:
    """The codec for what a function says that it returns."""
    declared = _declared(function)
    fingerprint = crc32(str(declared).encode())
    if declared in (Any, object):
        write, read = msgspec.msgpack.encode, msgspec.msgpack.decode
        return Codec(fingerprint, write, read, lambda value, _: _is_native(value))
    if _is_msgspecs(declared):
        write, read = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(declared).decode
    elif (adapter := _pydantic_adapter(declared)) is not None:
        write, read = adapter.dump_json, adapter.validate_json
    else:
        return codec_of(_undeclared)
    return Codec(fingerprint, write, read, lambda value, data: _equal(value, read(data)))


def _undeclared() -> Any:
    """A function that says nothing of what it returns."""


def _declared(function: Callable[..., object]) -> Any:
    try:
        return typing.get_type_hints(inspect.unwrap(function), include_extras=True).get("return", Any)
    except Exception:
        # A name that exists for type checkers only, or an annotation that is no type: as good as none.
        return Any


def _is_msgspecs(declared: Any) -> bool:
    """Whether msgspec can check every part of the type itself."""
    try:
        whole = kinds.type_info(declared)
    except Exception:
        return False  # msgspec's way of saying no varies with the type
    pending: list[object] = [whole]
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue  # a type may contain itself
        seen.add(id(part))
        if isinstance(part, kinds.CustomType | kinds.ExtType | kinds.RawType):
            return False
        for name in getattr(part, "__struct_fields__", ()):
            value = getattr(part, name)
            pending += [each for each in (value if isinstance(value, tuple) else (value,)) if _is_kind(each)]
    return True


def _is_kind(part: object) -> bool:
    return isinstance(part, kinds.Type | kinds.Field)


def _pydantic_adapter(declared: Any) -> Any:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return TypeAdapter(declared)
    except (PydanticUserError, NameError):
        return None


def _equal(value: object, back: object) -> bool:
    """Equal in every part and in its type, by the measure that tells arguments apart: `==` would take 1 for True."""
    return digest((value,)) == digest((back,))


def _is_native(value: object) -> bool:
    """Whether MessagePack tells the value's type by itself, all the way down."""
    kind = type(value)
    if kind in _NATIVE:
        return True
    if kind is list:
        return all(map(_is_native, cast("list[object]", value)))
    if kind is dict:
        items = cast("dict[object, object]", value).items()
        return all(type(key) in _NATIVE and _is_native(item) for key, item in items)
    return False
