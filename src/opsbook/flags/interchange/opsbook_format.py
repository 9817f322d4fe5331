"""Flags in our own words: everything that says what a flag is, nothing of where it has been."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from opsbook.core.errors import Invalid
from opsbook.flags.interchange.interface import Bundle
from opsbook.flags.model import Flag
from opsbook.flags.targeting.model import Segment

_FORMAT: Final = "opsbook-flags"
_VERSION: Final = 1
_OF_THE_DATABASE: Final = ("revision", "created_at", "updated_at")


class _File(msgspec.Struct):
    format: Literal["opsbook-flags"]
    version: int
    flags: list[Flag]
    segments: list[Segment] = []


def write_opsbook(bundle: Bundle) -> bytes:
    """The flags and segments as JSON, the same for the same flags."""
    flags = [_without(msgspec.to_builtins(flag)) for flag in bundle.flags]
    segments = [_without(msgspec.to_builtins(segment)) for segment in bundle.segments]
    return msgspec.json.encode({"format": _FORMAT, "version": _VERSION, "flags": flags, "segments": segments})


def read_opsbook(text: bytes) -> Bundle:
    """What `write_opsbook` wrote.

    Raises:
        Invalid: It is not that, or a newer version wrote it.
    """
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"this is no export of Opsbook's: {error}") from error
    if file.version != _VERSION:
        raise Invalid(f"this export has version {file.version}; this Opsbook reads {_VERSION}")
    return Bundle(file.flags, file.segments)


def _without(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name not in _OF_THE_DATABASE}
