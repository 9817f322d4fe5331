"""Decoders of gzip, deflate, br and zstd that hand their output out in bounded pieces."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import brotli
import zstandard

from opsbook.debugging.protocol.errors import Malformed

PIECE_BYTES: Final = 64 * 1024
"""The most that zlib and brotli hand out at once."""

ZSTD_SLICE_BYTES: Final = 128
"""How much zstd is fed at once: it has no bound on output, but a block of 4 bytes gives at most
128 KiB (RFC 8878, 3.1.1.2), so a slice gives at most 4 MiB."""

ZSTD_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""The window that RFC 8878 asks every decoder to support, and the largest that we allow."""


MOST_MEMBERS: Final = 100
"""How many gzip members or zstd frames one body may be made of. SDKs send one; a million empty ones
fit into a body that is small enough, and each costs a new decoder."""


class Decoder(Protocol):
    """One content coding, read incrementally."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the data unpacks to, in bounded pieces."""
        ...

    def finish(self) -> None:
        """Raises `Malformed` unless the data came to its end."""
        ...


class _ZlibState(Protocol):
    """What `zlib.decompressobj` gives; the standard library has no public name for it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Zlib:
    """gzip (RFC 1952, several members allowed) and deflate, with its zlib wrapper or without."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._state: _ZlibState | None = None
        self._start = b""
        self._members = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._state is None:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return
            self._state = zlib.decompressobj(self._window_bits(data))
        state = self._state
        try:
            while data:
                if state.eof:
                    state = self._state = self._next_member()
                yield state.decompress(data, PIECE_BYTES)
                data = state.unused_data if state.eof else state.unconsumed_tail
            # zlib may hold output back once its input is used up.
            while not state.eof and (piece := state.decompress(b"", PIECE_BYTES)):
                yield piece
        except zlib.error as error:
            raise _broken(self._name) from error

    def finish(self) -> None:
        if self._state is None or not self._state.eof:
            raise _cut_short(self._name)

    def _next_member(self) -> _ZlibState:
        if self._name != "gzip":
            raise Malformed(f"there is data after the end of the {self._name} body")
        self._members = _one_more(self._members, self._name)
        return zlib.decompressobj(16 + zlib.MAX_WBITS)

    def _window_bits(self, data: bytes) -> int:
        if self._name == "gzip":
            return 16 + zlib.MAX_WBITS
        # RFC 1950: the low four bits are 8 and both bytes make a multiple of 31. HTTP's deflate has
        # this wrapper, but many clients leave it out.
        wrapped = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
        return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


class Brotli:
    """br (RFC 7932); its window is at most 16 MiB by the format."""

    def __init__(self) -> None:
        self._state = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if data and self._state.is_finished():
            raise Malformed("there is data after the end of the br body")
        try:
            piece = self._state.process(data, output_buffer_limit=PIECE_BYTES)
            while piece or not self._state.can_accept_more_data():
                yield piece
                piece = self._state.process(b"", output_buffer_limit=PIECE_BYTES)
        except brotli.error as error:
            raise _broken("br") from error

    def finish(self) -> None:
        if not self._state.is_finished():
            raise _cut_short("br")


class Zstd:
    """zstd (RFC 8878), several frames allowed."""

    def __init__(self) -> None:
        self._state = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
        self._frames = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_SLICE_BYTES):
            part = data[start : start + ZSTD_SLICE_BYTES]
            while part:
                yield self._step(part)
                part = self._state.unused_data if self._state.eof else b""

    def _step(self, part: bytes) -> bytes:
        if self._state.eof or not self._frames:
            self._frames = _one_more(self._frames, "zstd")
            self._state = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
        try:
            return self._state.decompress(part)
        except zstandard.ZstdError as error:
            raise _broken("zstd") from error

    def finish(self) -> None:
        if not self._frames or not self._state.eof:
            raise _cut_short("zstd")


def _one_more(members: int, name: str) -> int:
    if members >= MOST_MEMBERS:
        raise Malformed(f"the {name} body is made of more than {MOST_MEMBERS} pieces; compress it in one")
    return members + 1


def _broken(name: str) -> Malformed:
    return Malformed(f"the body is not valid {name}, although Content-Encoding says so")


def _cut_short(name: str) -> Malformed:
    return Malformed(f"the {name} body ends before its compressed data does")
