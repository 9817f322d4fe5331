"""Reads a request's body within what the process has room for, and unpacks it.

The body is gathered as it arrives, compressed, and unpacked when it is whole: a sender that
trickles holds what it has sent, not what that unpacks to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from opsbook.debugging.intake.refusals import Busy
from opsbook.debugging.protocol.encodings import BodyReader
from opsbook.debugging.protocol.errors import Malformed, TooLarge

T = TypeVar("T")

MOST_BODY_BYTES: Final = 20 * 1024 * 1024
"""Of an envelope, as it arrives and unpacked."""
ROOM_BYTES: Final = 64 * 1024 * 1024
"""For all bodies that one process is reading or working on."""
STRANGERS_ROOM_BYTES: Final = ROOM_BYTES // 2
"""Once so much is held, nobody gets more before their key is known: the rest is for those whose key is."""
READING_SECONDS: Final = 30.0
INLINE_PACKED_BYTES: Final = 32 * 1024
INLINE_BYTES: Final = 48 * 1024
"""Up to here work on a body is done at once: it takes a millisecond, fifty where it was made to hurt, and a thread
would slow it down."""
THREADS: Final = 2
"""So many large bodies are unpacked and worked on at once."""


class Room:
    """What one process holds of bodies, and the threads in which it works on large ones."""

    def __init__(self) -> None:
        self.held_bytes = 0
        """Of all bodies that are being read or worked on."""
        self._threads = ThreadPoolExecutor(THREADS, "opsbook-intake")

    def close(self) -> None:
        """Start nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def body_of(self, request: Request, *, is_known: bool = True) -> AsyncIterator[bytes]:
        """The request's body, unpacked, and room for it while the context lasts. `is_known`: its key was looked at.

        Raises:
            TooLarge, UnsupportedEncoding: As `BodyReader`.
            Malformed: Likewise, and where it does not arrive in time.
            Busy: The process has no room for it.
        """
        encoding = request.headers.get("content-encoding")
        BodyReader(encoding, MOST_BODY_BYTES)  # refuses what it does not read, before it arrives
        hold = _Hold(self, ROOM_BYTES if is_known else STRANGERS_ROOM_BYTES)
        try:
            parts = await _gathered(request, hold)
            body = await self._unpacked(encoding, parts, hold.size_bytes)
            hold.take(len(body) - hold.size_bytes)
            yield body
        finally:
            hold.take(-hold.size_bytes)

    async def _unpacked(self, encoding: str | None, parts: Sequence[bytes], size_bytes: int) -> bytes:
        if size_bytes <= (INLINE_PACKED_BYTES if encoding else INLINE_BYTES):
            try:
                return _unpacked(BodyReader(encoding, INLINE_BYTES), parts)
            except TooLarge:  # a few bytes may hide megabytes
                pass
        return await self.work(lambda: _unpacked(BodyReader(encoding, MOST_BODY_BYTES), parts), is_small=False)

    async def work(self, function: Callable[[], T], *, is_small: bool) -> T:
        """The result of `function`: worked out here where it is a small thing, else in a thread."""
        return function() if is_small else await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def take(self, size_bytes: int, most_bytes: int) -> None:
        """Raises `Busy` where so many bytes more would make it more than `most_bytes`; fewer are always welcome."""
        if size_bytes > 0 and self.held_bytes + size_bytes > most_bytes:
            raise Busy
        self.held_bytes += size_bytes


class _Hold:
    """What one request holds of the room."""

    def __init__(self, room: Room, most_bytes: int) -> None:
        self._room = room
        self._most_bytes = most_bytes
        self.size_bytes = 0

    def take(self, size_bytes: int) -> None:
        self._room.take(size_bytes, self._most_bytes)
        self.size_bytes += size_bytes


async def _gathered(request: Request, hold: _Hold) -> Sequence[bytes]:
    """The chunks of the body, as they came."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > MOST_BODY_BYTES):
        raise _too_large()
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(READING_SECONDS):
            async for chunk in request.stream():
                hold.take(len(chunk))
                if hold.size_bytes > MOST_BODY_BYTES:
                    raise _too_large()
                parts.append(chunk)
    except TimeoutError as error:
        raise Malformed(f"the body did not arrive within {READING_SECONDS:.0f} s") from error
    except ClientDisconnect as error:
        raise Malformed("the sender hung up before the body was whole") from error
    return parts


def _unpacked(reader: BodyReader, parts: Sequence[bytes]) -> bytes:
    for part in parts:
        reader.feed(part)
    return reader.finish()


def _too_large() -> TooLarge:
    return TooLarge(f"the body is larger than {MOST_BODY_BYTES:,} bytes; send less in one request")
