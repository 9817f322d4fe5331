"""Server-sent events that tell an open page which of its parts are out of date.

An event carries a topic and a revision (for `health`, the overall standing); the page then
fetches what it shows. Source of the format: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from opsbook.core.http.identity import session_identity, still_known
from opsbook.core.runtime import Runtime, runtime_of
from opsbook.web.frame import standing

if TYPE_CHECKING:
    from opsbook.core.bus import Bus, SyncConnection

TOPICS = ("flags", "audit", "access", "error_events")
_STANDING_SECONDS = 0.5
"""How often the standing is looked at, which costs nothing, and whether the process stops."""
_HEARTBEAT_SECONDS = 15.0
_RECONNECT_MILLISECONDS = 1000

router = APIRouter(include_in_schema=False)


@router.get("/live")
async def live(request: Request) -> StreamingResponse:
    """Events for as long as the page is open and its person signed in; to anybody else only that they are not."""
    person = await session_identity(request)
    return StreamingResponse(
        _events(request, runtime_of(request)) if person else _signed_out(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(request: Request, runtime: Runtime) -> AsyncIterator[str]:
    yield f"retry: {_RECONNECT_MILLISECONDS}\n\n"
    told: str | None = None
    check_at = time.monotonic() + _HEARTBEAT_SECONDS
    with _revisions(runtime.bus) as revisions:
        while not runtime.stopping.is_set():
            now = standing(runtime)
            if now != told:
                told = now
                yield _event("health", now)
            if time.monotonic() >= check_at:
                check_at = time.monotonic() + _HEARTBEAT_SECONDS
                if not await still_known(partial(session_identity, request)):
                    yield _event("signed-out", "")
                    return
                yield ": still here\n\n"
            try:
                topic, revision = await asyncio.wait_for(revisions.get(), _STANDING_SECONDS)
            except TimeoutError:
                continue
            yield _event(topic, str(revision))


async def _signed_out() -> AsyncIterator[str]:
    yield _event("signed-out", "")


@contextmanager
def _revisions(bus: Bus) -> Iterator[asyncio.Queue[tuple[str, int]]]:
    """What the bus's thread hears, handed to this event loop."""
    heard: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def listener(topic: str) -> Callable[[SyncConnection, int], None]:
        def hear(_: SyncConnection, revision: int) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(heard.put_nowait, (topic, revision))

        return hear

    with ExitStack() as subscriptions:
        for topic in TOPICS:
            subscriptions.callback(bus.subscribe(topic, listener(topic)))
        yield heard


def _event(topic: str, data: str) -> str:
    return f"event: {topic}\ndata: {data}\n\n"
