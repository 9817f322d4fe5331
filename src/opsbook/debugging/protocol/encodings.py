"""Reading a compressed body as it arrives, with a hard bound on what it may unpack to.

Each decoder hands its output out in pieces of at most a few megabytes, so a bomb is noticed when
it crosses the bound, not when memory has run out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from opsbook.debugging.protocol.decoders import Brotli, Decoder, Zlib, Zstd
from opsbook.debugging.protocol.errors import TooLarge, UnsupportedEncoding

MOST_CODINGS: Final = 2


class BodyReader:
    """Collects a request's body from its chunks, decoding `Content-Encoding` on the way.

    `limit_bytes` bounds the body as it arrives, and what each coding unpacks it to: of two, the inner one may
    read without end and give nothing. Memory stays below that limit, one piece of a few megabytes, and the
    decoder's window.
    """

    def __init__(self, content_encoding: str | None, limit_bytes: int) -> None:
        """Raises `UnsupportedEncoding` for a coding that is not read here."""
        self._decoders = [_decoder(name) for name in reversed(_codings(content_encoding))]
        self._limit_bytes = limit_bytes
        self._read_bytes = [0] * (len(self._decoders) + 1)
        """What arrived, and what came out of each decoder."""
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk. Raises `TooLarge` at the bound, `Malformed` on broken compression."""
        for piece in self._through(0, chunk):
            self._body += piece

    def finish(self) -> bytes:
        """The whole body. Raises `Malformed` where the compressed data ends early."""
        for decoder in self._decoders:
            decoder.finish()
        return bytes(self._body)

    def _through(self, stage: int, data: bytes) -> Iterator[bytes]:
        """What the decoders from `stage` on make of the data."""
        self._count(stage, len(data))
        if stage == len(self._decoders):
            yield data
            return
        for piece in self._decoders[stage].feed(data):
            yield from self._through(stage + 1, piece)

    def _count(self, stage: int, size_bytes: int) -> None:
        self._read_bytes[stage] += size_bytes
        if self._read_bytes[stage] > self._limit_bytes:
            self._body = bytearray()
            raise TooLarge(f"the body is larger than {self._limit_bytes:,} bytes; send less in one request")


def _codings(content_encoding: str | None) -> list[str]:
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    codings = [name for name in names if name not in {"", "identity"}]
    if len(codings) > MOST_CODINGS:
        raise UnsupportedEncoding(f"{len(codings)} content codings in one request; send one")
    return codings


def _decoder(name: str) -> Decoder:
    match name:
        case "gzip" | "x-gzip":
            return Zlib("gzip")
        case "deflate":
            return Zlib("deflate")
        case "br":
            return Brotli()
        case "zstd":
            return Zstd()
        case _:
            raise UnsupportedEncoding(
                f"Content-Encoding {name[:40]!r} is not read here; send gzip, deflate, br, zstd or identity"
            )
