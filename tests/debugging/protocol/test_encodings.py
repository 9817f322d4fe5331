"""Compressed bodies: read as they arrive, stopped at their bound, whatever they unpack to."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.encodings import BodyReader
from opsbook.debugging.protocol.errors import Malformed, TooLarge, UnsupportedEncoding

MEBIBYTE = 1024 * 1024
BODY = b'{"message":"hello"}\n' * 500

Compress = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


ENCODINGS: dict[str, tuple[str, Compress]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate with wrapper": ("deflate", zlib.compress),
    "deflate without": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "identity": ("identity", bytes),
}
every_encoding = pytest.mark.parametrize(("name", "compress"), ENCODINGS.values(), ids=ENCODINGS)
every_compression = pytest.mark.parametrize(
    ("name", "compress"), list(ENCODINGS.values())[:-1], ids=list(ENCODINGS)[:-1]
)


def read(name: str | None, body: bytes, *, limit_bytes: int = MEBIBYTE, chunk_bytes: int = 64 * 1024) -> bytes:
    reader = BodyReader(name, limit_bytes)
    for start in range(0, len(body), chunk_bytes):
        reader.feed(body[start : start + chunk_bytes])
    return reader.finish()


@every_encoding
@pytest.mark.parametrize("chunk_bytes", [1, 7, 64 * 1024])
@pytest.mark.parametrize("body", [BODY, b""], ids=["full", "empty"])
def test_a_body_is_read_however_it_is_cut(name: str, compress: Compress, chunk_bytes: int, body: bytes) -> None:
    assert read(name, compress(body), chunk_bytes=chunk_bytes) == body


@pytest.mark.parametrize("name", [None, "", " identity ", "GZIP", "x-gzip", "gzip, identity"])
def test_names_of_encodings(name: str | None) -> None:
    sent = gzip.compress(BODY) if "gzip" in (name or "").lower() else BODY
    assert read(name, sent) == BODY


@pytest.mark.parametrize("name", ["compress", "aws-chunked", "gzip, gzip, gzip", "br, rot13"])
def test_other_encodings_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="send"):
        BodyReader(name, MEBIBYTE)


@every_encoding
def test_the_bound_is_exact(name: str, compress: Compress) -> None:
    size = 300_000
    body = bytes(size)
    assert read(name, compress(body), limit_bytes=size) == body
    with pytest.raises(TooLarge, match="299,999 bytes"):
        read(name, compress(body), limit_bytes=size - 1)


@every_compression
def test_broken_and_cut_bodies_are_refused(name: str, compress: Compress) -> None:
    sent = compress(BODY)
    with pytest.raises(Malformed):
        read(name, sent[: len(sent) // 2])
    with pytest.raises(Malformed):
        read(name, b"this is not compressed at all")
    with pytest.raises(Malformed):
        read(name, b"")


def test_members_and_frames_may_follow_each_other() -> None:
    assert read("gzip", gzip.compress(b"one ") + gzip.compress(b"two")) == b"one two"
    frame = zstandard.ZstdCompressor().compress
    assert read("zstd", frame(b"one ") + frame(b"two")) == b"one two"
    for name, member in (("gzip", gzip.compress(b"")), ("zstd", frame(b""))):
        assert read(name, member * 100) == b""
        with pytest.raises(Malformed, match="more than 100 pieces"):
            read(name, member * 101)
    for name, compress in (("deflate", zlib.compress), ("br", brotli.compress)):
        with pytest.raises(Malformed):
            read(name, compress(b"one") + b"two")


def test_encodings_may_be_nested_once() -> None:
    assert read("gzip, br", brotli.compress(gzip.compress(BODY))) == BODY
    bomb = bytes(200 * MEBIBYTE)
    nested = brotli.compress(gzip.compress(bomb, 1), quality=1)
    with pytest.raises(TooLarge):
        read("gzip, br", nested)


def test_what_lies_between_two_codings_is_bounded_though_nothing_comes_out_of_it() -> None:
    empty_blocks = b"\x00\x00\x00\xff\xff" * MEBIBYTE  # RFC 1951, 3.2.4: stored, of length 0
    with pytest.raises(TooLarge):
        read("deflate, br", brotli.compress(empty_blocks, quality=1))


def test_a_window_that_takes_too_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(Malformed):
        read("zstd", stream.compress(BODY) + stream.flush())


BOMB = """
import resource, sys, zlib, brotli, zstandard
from opsbook.debugging.protocol.encodings import BodyReader
from opsbook.debugging.protocol.errors import TooLarge

name, mebibyte = sys.argv[1], 1024 * 1024
block = bytes(mebibyte)
if name == "br":
    state = brotli.Compressor(quality=1)
    bomb = b"".join(state.process(block) for _ in range(1024)) + state.finish()
elif name == "zstd":
    bomb = zstandard.ZstdCompressor(level=1).compress(block) * 1024
else:
    state = zlib.compressobj(wbits=-15)
    start = {"gzip": bytes([31, 139, 8, 0, 0, 0, 0, 0, 0, 255]), "deflate": bytes([120, 156]), "raw": b""}[name]
    bomb = start + (state.compress(block) + state.flush(zlib.Z_FULL_FLUSH)) * 1024
reader = BodyReader("deflate" if name == "raw" else name, 4 * mebibyte)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for start in range(0, len(bomb), 65536):
        reader.feed(bomb[start:start + 65536])
except TooLarge:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw", "br", "zstd"])
def test_a_bomb_of_a_gigabyte_stops_at_the_bound(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", BOMB, name], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) <= 32


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "zstd", "identity"]), st.integers(1, 50))
def test_any_bytes_are_read_or_refused(body: bytes, name: str, chunk_bytes: int) -> None:
    with contextlib.suppress(Malformed, TooLarge):
        read(name, body, limit_bytes=10_000, chunk_bytes=chunk_bytes)


@given(st.binary(max_size=2_000), st.sampled_from(list(ENCODINGS)), st.integers(1, 500), st.data())
def test_damage_never_does_more_than_refuse(body: bytes, encoding: str, chunk_bytes: int, data: st.DataObject) -> None:
    name, compress = ENCODINGS[encoding]
    sent = bytearray(compress(body))
    for place in data.draw(st.lists(st.integers(0, max(0, len(sent) - 1)), max_size=4)):
        if sent:
            sent[place] ^= 1 << place % 8
    with contextlib.suppress(Malformed, TooLarge):
        read(name, bytes(sent), limit_bytes=100_000, chunk_bytes=chunk_bytes)
