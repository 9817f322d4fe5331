"""Server-sent events that tell an open page which of its parts are out of date.

An event carries a topic and its newest revision (for `health`, the overall standing); the page then
fetches what it shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from opsbook.core.http import server_sent
from opsbook.core.http.identity import session_identity, still_known
from opsbook.core.http.server_sent import Events, come_again, event, event_stream
from opsbook.core.runtime import Runtime, runtime_of
from opsbook.web.frame import standing

if TYPE_CHECKING:
    from opsbook.core.bus import Bus, SyncConnection

TOPICS = ("flags", "limits", "blocks", "cache", "audit", "access", "error_events")
_STANDING_SECONDS = 0.5
"""How often the standing is looked at, which costs nothing, and whether the process stops."""
_RECONNECT_MILLISECONDS = 1000
_SIGNED_OUT = event("signed-out", b"")

router = APIRouter(include_in_schema=False)


@router.get("/live")
async def live(request: Request) -> StreamingResponse:
    """Events for as long as the page is open and its person signed in; to anybody else only that they are not."""
    person = await session_identity(request)
    events = _events(runtime_of(request)) if person else _nothing()
    return event_stream(events, partial(still_known, partial(session_identity, request)), _SIGNED_OUT)


async def _events(runtime: Runtime) -> Events:
    yield come_again(_RECONNECT_MILLISECONDS)
    told: str | None = None
    heard_at = time.monotonic()
    with _news(runtime.bus) as news:
        while not runtime.stopping.is_set():
            now = standing(runtime)
            if now != told:
                told = now
                yield event("health", now.encode())
            if time.monotonic() >= heard_at + server_sent.HEARTBEAT_SECONDS:
                heard_at = time.monotonic()
                yield None
            for topic, revision in (await news.taken(_STANDING_SECONDS)).items():
                yield event(topic, b"%d" % revision)


async def _nothing() -> Events:
    yield _SIGNED_OUT


class _News:
    """The newest revision of each topic since they were last taken, however many there were in between."""

    def __init__(self) -> None:
        self._revisions: dict[str, int] = {}
        self._heard = asyncio.Event()

    def hear(self, topic: str, revision: int) -> None:
        self._revisions[topic] = revision
        self._heard.set()

    async def taken(self, within_seconds: float) -> Mapping[str, int]:
        """As soon as there are any; none, where the time passes without."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._heard.wait()
        self._heard.clear()
        taken, self._revisions = self._revisions, {}
        return taken


@contextmanager
def _news(bus: Bus) -> Iterator[_News]:
    """What the bus's thread hears, handed to this event loop."""
    news = _News()
    loop = asyncio.get_running_loop()

    def listener(topic: str) -> Callable[[SyncConnection, int], None]:
        def hear(_: SyncConnection, revision: int) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.hear, topic, revision)

        return hear

    with ExitStack() as subscriptions:
        for topic in TOPICS:
            subscriptions.callback(bus.subscribe(topic, listener(topic)))
        yield news
