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
        """One reader's stream, from what it holds where that is this process's present state, else from the whole."""
        sent = self._flags.snapshot
        if held_revision != sent.revision:
            yield _event("snapshot", sent.revision, {name: c.flag for name, c in sent.flags.items()})
        while not self._closed:
            news = self._news
            current = self._flags.snapshot
            if current is not sent:
                yield _event("change", current.revision, current.since(sent))
                sent = current
                continue
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield b": still here\n\n"

    def _heard(self, _: Snapshot) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        # Readers hold the old event; each wait has one of its own, so that no wake-up is lost or eaten.
        self._news.set()
        self._news = asyncio.Event()


def _event(kind: str, revision: int, flags: object) -> bytes:
    data = msgspec.json.encode({"revision": revision, "flags": flags})
    return b"event: %b\nid: %d\ndata: %b\n\n" % (kind.encode(), revision, data)
