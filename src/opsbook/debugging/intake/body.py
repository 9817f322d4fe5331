"""Reads a request's body within what the process has room for, and unpacks it.

The body is gathered as it arrives, compressed, and unpacked when it is whole: a sender that
trickles holds what it has sent, not what that unpacks to. Many that trickle fill the room for
nobody: one address has a share of it, and whoever is slow gives way to whoever comes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from opsbook.core.http.client_address import limit_key
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
ARRIVING_BYTES: Final = 24 * 1024 * 1024
"""For the bodies that are arriving from one address (an IPv6 address by its /64): the largest there is, and some."""
READING_SECONDS: Final = 30.0
SLOW_SECONDS: Final = 3.0
"""A body that has been arriving for so long gives way to another where there is no room for both."""
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
        self._arriving: dict[_Hold, None] = {}
        """In the order in which they began to."""
        self._arriving_bytes: Counter[str] = Counter()
        """By address."""
        self._threads = ThreadPoolExecutor(THREADS, "opsbook-intake")

    def close(self) -> None:
        """Start nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def body_of(
        self, request: Request, *, address: str | None = None, is_known: bool = True
    ) -> AsyncIterator[bytes]:
        """The request's body, unpacked, and room for it while the context lasts.

        Args:
            request: Whose body is yet to be read.
            address: The caller's, where there is one.
            is_known: Whether their key was looked at.

        Raises:
            TooLarge, UnsupportedEncoding: As `BodyReader`.
            Malformed: Likewise, and where it does not arrive in time.
            Busy: The process has no room for it, or none any more.
        """
        encoding = request.headers.get("content-encoding")
        BodyReader(encoding, MOST_BODY_BYTES)  # refuses what it does not read, before it arrives
        hold = _Hold(self, limit_key(address) if address else None, is_known=is_known)
        try:
            with self._arrival_of(hold):
                parts = await _gathered(request, hold)
            body = await self._unpacked(encoding, parts, hold.size_bytes)
            hold.take(len(body) - hold.size_bytes)
            yield body
        finally:
            hold.take(-hold.size_bytes)

    @contextmanager
    def _arrival_of(self, hold: _Hold) -> Iterator[None]:
        self._arriving[hold] = None
        try:
            yield
        finally:
            del self._arriving[hold]
            if hold.address:
                self._arriving_bytes[hold.address] -= hold.arrived_bytes
                if not self._arriving_bytes[hold.address]:
                    del self._arriving_bytes[hold.address]

    def arrives(self, hold: _Hold, size_bytes: int) -> None:
        """Take so much more of a body in. Raises `Busy` where its address, or everybody, has no room for more."""
        if hold.address:
            if self._arriving_bytes[hold.address] + size_bytes > ARRIVING_BYTES:
                raise Busy
            self._arriving_bytes[hold.address] += size_bytes
            hold.arrived_bytes += size_bytes
        hold.take(size_bytes)

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

    def take(self, size_bytes: int, *, is_known: bool) -> None:
        """Raises `Busy` where there is no room for so many bytes more; fewer are always welcome."""
        most_bytes = ROOM_BYTES if is_known else STRANGERS_ROOM_BYTES
        if is_known and self.held_bytes + size_bytes > most_bytes:
            self._make_room(self.held_bytes + size_bytes - most_bytes)
        if size_bytes > 0 and self.held_bytes + size_bytes > most_bytes:
            raise Busy
        self.held_bytes += size_bytes

    def _make_room(self, size_bytes: int) -> None:
        slow_since = asyncio.get_running_loop().time() - SLOW_SECONDS
        for hold in list(self._arriving):
            if size_bytes <= 0 or hold.began_at > slow_since:
                return
            size_bytes -= hold.size_bytes
            hold.give_way()


class _Hold:
    """What one request holds of the room."""

    def __init__(self, room: Room, address: str | None, *, is_known: bool) -> None:
        self._room = room
        self._is_known = is_known
        self.address = address
        self.began_at = asyncio.get_running_loop().time()
        self.deadline = asyncio.timeout(READING_SECONDS)
        self.gave_way = False
        self.size_bytes = 0
        self.arrived_bytes = 0
        """Counted for the address, until all has arrived."""

    def take(self, size_bytes: int) -> None:
        self._room.take(size_bytes, is_known=self._is_known)
        self.size_bytes += size_bytes

    def arrives(self, size_bytes: int) -> None:
        self._room.arrives(self, size_bytes)

    def give_way(self) -> None:
        """Hold nothing any more, and stop reading."""
        self.gave_way = True
        self.take(-self.size_bytes)
        self.deadline.reschedule(self.began_at)


async def _gathered(request: Request, hold: _Hold) -> Sequence[bytes]:
    """The chunks of the body, as they came."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > MOST_BODY_BYTES):
        raise _too_large()
    parts: list[bytes] = []
    try:
        async with hold.deadline:
            async for chunk in request.stream():
                hold.arrives(len(chunk))
                if hold.size_bytes > MOST_BODY_BYTES:
                    raise _too_large()
                parts.append(chunk)
    except TimeoutError as error:
        if hold.gave_way:
            raise Busy from error
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
