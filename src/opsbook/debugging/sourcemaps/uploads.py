"""From uploaded chunks to source maps that can be searched."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Sequence
from typing import IO, Final

import msgspec

from opsbook.core.access import Identity
from opsbook.core.audit import acting
from opsbook.core.errors import TooManyRequests
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import Pool
from opsbook.debugging.protocol.encodings import BodyReader
from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.sourcemaps import store
from opsbook.debugging.sourcemaps.bundle import Bundle, MapFile
from opsbook.debugging.sourcemaps.source_map import pack, read_source_map

CHUNK_BYTES: Final = 512 * 1024
"""A chunk, and what goes around it, is within the bound that requests have."""
MOST_BUNDLE_BYTES: Final = 128 * 1024 * 1024
MOST_CHUNKS: Final = MOST_BUNDLE_BYTES // CHUNK_BYTES
MOST_WAITING_BYTES: Final = 1024 * 1024 * 1024
"""Of all uploads that are not whole yet."""
_PACKING_BYTES: Final = 16 * 1024
"""By which what cannot be compressed may grow when it is."""
_MOST_PASSED_OVER: Final = 100

log = get_logger(__name__)


class Order(msgspec.Struct, frozen=True):
    """A bundle that is to be put together."""

    checksum: bytes
    """SHA-1 of the whole."""
    chunks: Sequence[bytes]
    """SHA-1 of each, in order."""
    projects: Sequence[str]
    release: str | None
    dist: str


class Uploads:
    """What a process takes in; it puts one bundle together at a time, for that takes memory."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._one_at_a_time = asyncio.Lock()

    async def add_chunk(self, checksum: str, content: bytes, *, is_packed: bool) -> None:
        """Keep a chunk that was sent under its SHA-1, gzipped or not.

        Raises:
            Malformed: The chunk is another.
            TooLarge: It is larger than `CHUNK_BYTES`.
            TooManyRequests: Too much is waiting already.
        """
        reader = BodyReader("gzip" if is_packed else None, CHUNK_BYTES + _PACKING_BYTES)
        reader.feed(content)
        chunk = reader.finish()
        if len(chunk) > CHUNK_BYTES:
            raise TooLarge(f"a chunk has at most {CHUNK_BYTES:,} bytes, this one {len(chunk):,}")
        digest = _sha1(chunk)
        if digest.hex() != checksum:
            raise Malformed(f"the chunk's SHA-1 is {digest.hex()}, not {checksum[:40]!r}")
        async with self._pool.connection() as connection:
            if await store.waiting_bytes(connection) + len(chunk) > MOST_WAITING_BYTES:
                raise TooManyRequests("too many unfinished uploads are waiting; they are dropped within the hour", 600)
            await store.add_chunk(connection, digest, chunk)

    async def assemble(self, identity: Identity, order: Order) -> Sequence[bytes]:
        """Put a bundle together; gives the chunks that are missing, without which nothing was done.

        Raises:
            NotFound: There is no such project.
            Malformed, TooLarge: The bundle cannot be read, or holds no sound source map.
        """
        async with self._pool.connection() as connection:
            projects = [await store.project_of(connection, name) for name in order.projects]
            new = [one for one in projects if not await store.has_bundle(connection, one, order.checksum)]
            missing = await store.missing_chunks(connection, order.chunks) if new else ()
        if new and not missing:
            async with self._one_at_a_time:
                await self._keep(identity, order, new)
        return missing

    async def _keep(self, identity: Identity, order: Order, projects: Sequence[int]) -> None:
        with tempfile.TemporaryFile() as file:
            await self._join(order, file)
            bundle = await asyncio.to_thread(Bundle, file)
            maps, passed_over = await asyncio.to_thread(_read_maps, bundle)
        async with acting(self._pool, identity) as connection:
            for project_id in projects:
                new = store.NewBundle(project_id, order.checksum, bundle.debug_id, order.release, order.dist)
                await store.add_bundle(connection, new, maps, passed_over)
            await store.drop_chunks(connection, order.chunks)
        log.info("source_maps_uploaded", maps=len(maps), passed_over=len(passed_over), release=order.release)

    async def _join(self, order: Order, file: IO[bytes]) -> None:
        digest = hashlib.sha1(usedforsecurity=False)
        async with self._pool.connection() as connection:
            for checksum in order.chunks:
                await store.write_chunk(connection, checksum, file)
        file.seek(0)
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
        if digest.digest() != order.checksum:
            raise Malformed(f"the SHA-1 of the chunks together is {digest.hexdigest()}, not {order.checksum.hex()}")
        file.seek(0)


def _read_maps(bundle: Bundle) -> tuple[Sequence[store.NewMap], Sequence[str]]:
    """The maps of a bundle, and why others are passed over: one that is broken must not hold up a release."""
    maps: list[store.NewMap] = []
    passed_over: list[str] = []
    for file in bundle.maps:
        try:
            maps.append(_read_map(bundle, file))
        except (Malformed, TooLarge) as refusal:
            passed_over.append(f"{file.url}: {refusal}"[:1000])
    if not maps:
        raise Malformed("; ".join(["the bundle holds no source map that could be read", *passed_over[:5]]))
    return maps, passed_over[:_MOST_PASSED_OVER]


def _read_map(bundle: Bundle, file: MapFile) -> store.NewMap:
    content = pack(read_source_map(bundle.read_map(file)))
    return store.NewMap(file.url, file.debug_id, file.scripts, content)


def _sha1(content: bytes) -> bytes:
    return hashlib.sha1(content, usedforsecurity=False).digest()
