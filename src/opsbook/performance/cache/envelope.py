"""What stands in Redis around a value: until when it holds, what it hung on, and whether it is whole.

Redis is shared, so what comes from there is treated as a stranger's: bytes that do not fit are no entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

_VERSION = 1


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """One entry. Moments are Unix milliseconds by the writer's clock; Redis itself ends the entry by its own."""

    version: int
    fingerprint: int
    fresh_until: int
    usable_until: int
    computing_seconds: float
    generations: list[bytes | None]
    """Of the function and of each tag, as they were before the value was computed; a purge changes them."""
    checksum: int
    payload: bytes


class Lifetime(NamedTuple):
    """How long a value lasts from now on, in seconds."""

    fresh: float
    usable: float
    """Also stale."""
    computing: float
    """How long it took to compute."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def pack(
    payload: bytes, fingerprint: int, generations: Sequence[bytes | None], lifetime: Lifetime, now: float
) -> bytes:
    """An entry's bytes, for a payload whose lifetime begins now, by the wall clock."""
    moments = (int((now + lifetime.fresh) * 1000), int((now + lifetime.usable) * 1000))
    checksum = crc32(payload)
    return _encoder.encode(
        Envelope(_VERSION, fingerprint, *moments, lifetime.computing, list(generations), checksum, payload)
    )


def unpack(data: object, fingerprint: int, generations: Sequence[bytes | None]) -> Envelope | None:
    """The entry in these bytes; None where there is none, it was purged, or it is not one of ours."""
    if not isinstance(data, bytes):
        return None
    try:
        envelope = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_ours = envelope.version == _VERSION and envelope.fingerprint == fingerprint
    if not is_ours or envelope.generations != generations or envelope.checksum != crc32(envelope.payload):
        return None
    return envelope
