"""What the flags chapter keeps alive in a server: the process's own flags, and streams to other processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from opsbook.core.runtime import Runtime
from opsbook.flags.client import Flags
from opsbook.flags.snapshot import Snapshot

_HEARTBEAT_SECONDS = 10.0


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Let other processes follow this one's flags while the server lives."""
    stream = FlagStream(runtime.get(Flags))
    runtime.put(stream)
    try:
        yield
    finally:
        stream.close()


class FlagStream:
    """Server-sent events: a snapshot first, then what changed; a slow reader gets the newest state, not a queue."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._closed = False
        self._unlisten = flags.listen(self._heard)

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self._closed = True
        self._unlisten()
        self._wake()

    async def events(self, held_revision: int | None) -> AsyncIterator[bytes]:
        """One reader's stream, from what it holds where that is this process's present state, else from the whole.

        Until this process has heard from its source it says nothing: what it remembers from its
        disk, or has not yet, must not replace the newer state of a reader.
        """
        sent: Snapshot | None = None
        while not self._closed:
            news, ready, current = self._news, self._flags.ready, self._flags.snapshot
            if ready and current is not sent:
                if sent is not None:
                    yield _event("change", current.revision, current.since(sent))
                elif held_revision != current.revision:
                    yield _event("snapshot", current.revision, {name: c.flag for name, c in current.flags.items()})
                sent = current
            elif not await _happens(news):
                yield b": still here\n\n"

    def _heard(self, _: Snapshot) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        # Readers hold the old event, taken before they looked: no wake-up is lost, and none is eaten by another.
        self._news.set()
        self._news = asyncio.Event()


async def _happens(news: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(_HEARTBEAT_SECONDS):
            return await news.wait()
    except TimeoutError:
        return False


def _event(kind: str, revision: int, flags: object) -> bytes:
    data = msgspec.json.encode({"revision": revision, "flags": flags})
    return b"event: %b\nid: %d\ndata: %b\n\n" % (kind.encode(), revision, data)
