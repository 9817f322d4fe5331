"""What the flags chapter keeps alive in a server: the process's own flags, and streams to other processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec

from opsbook.core.http import server_sent
from opsbook.core.http.server_sent import Events, event
from opsbook.core.runtime import Runtime
from opsbook.flags.client import Flags
from opsbook.flags.snapshot import Snapshot

Snapshots = AsyncGenerator[Snapshot | None]
"""States of the flags, one after the other; None at least every `HEARTBEAT_SECONDS` while there is none."""


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Let other processes follow this one's flags while the server lives."""
    stream = FlagStream(runtime.get(Flags))
    runtime.put(stream)
    ending = asyncio.create_task(_close_on_stop(stream, runtime.stopping))
    try:
        yield
    finally:
        ending.cancel()
        stream.close()
        await asyncio.to_thread(runtime.get(Flags).report_exposures)


async def _close_on_stop(stream: FlagStream, stopping: asyncio.Event) -> None:
    await stopping.wait()
    stream.close()


class FlagStream:
    """Server-sent events: a snapshot first, then what changed; a slow reader gets the newest state, not a queue."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._closed = False
        self._encoded: tuple[Snapshot | None, Snapshot, bytes] | None = None
        self._unlisten = flags.listen(self._heard)

    async def snapshots(self) -> Snapshots:
        """What is served now, and each later state, of which a slow reader misses some; None is a heartbeat.

        Until this process has heard from its source it says nothing: what it remembers from its
        disk, or has not yet, must not replace the newer state of a reader.
        """
        told: Snapshot | None = None
        while not self._closed:
            news, ready, current = self._news, self._flags.ready, self._flags.snapshot
            if ready and current is not told:
                told = current
                yield current
            elif not await _happens(news):
                yield None

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self._closed = True
        self._unlisten()
        self._wake()

    async def events(self, held_revision: int | None) -> Events:
        """One kit's events, from what it holds where that is this process's present state, else from the whole."""
        sent: Snapshot | None = None
        async with aclosing(self.snapshots()) as snapshots:
            async for current in snapshots:
                if current is None:
                    yield None
                    continue
                if sent is not None or held_revision != current.revision:
                    yield self._event(sent, current)
                sent = current

    def _event(self, sent: Snapshot | None, current: Snapshot) -> bytes:
        """What leads from one state to the next; encoded once for all readers, who mostly stand at the same one."""
        if self._encoded is None or self._encoded[0] is not sent or self._encoded[1] is not current:
            self._encoded = (sent, current, _encode(sent, current))
        return self._encoded[2]

    def _heard(self, _: Snapshot) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        # Readers hold the old event, taken before they looked: no wake-up is lost, and none is eaten by another.
        self._news.set()
        self._news = asyncio.Event()


async def _happens(news: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(server_sent.HEARTBEAT_SECONDS):
            return await news.wait()
    except TimeoutError:
        return False


def _encode(sent: Snapshot | None, current: Snapshot) -> bytes:
    flags, segments = current.parts()
    kind, changes = "snapshot", flags
    if sent is not None and sent.segments == current.segments:
        kind, changes, segments = "change", current.since(sent), []
    data = msgspec.json.encode({"revision": current.revision, "flags": changes, "segments": segments})
    return event(kind, data, current.revision)
