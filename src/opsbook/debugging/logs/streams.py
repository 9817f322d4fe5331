"""Followers over HTTP: server-sent events for those who read them, and an end for those who do not.

Source of the format: WHATWG HTML, 9.2, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cachebox import TTLCache
from psycopg.rows import DictRow
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from opsbook.core.access import Identity
from opsbook.core.audit import acting
from opsbook.core.errors import TooManyRequests
from opsbook.core.http.identity import still_known
from opsbook.core.log import get_logger
from opsbook.core.runtime import Runtime
from opsbook.debugging.logs import store
from opsbook.debugging.logs.filter import LogFilter
from opsbook.debugging.logs.following import Follower

MOST_FOLLOWERS: Final = 16
"""In one process; each asks the database ten times a second."""
PATIENCE_SECONDS = 20.0
"""How long a follower may leave its lines unread before it is let go."""

_CHECK_SECONDS: Final = 10.0
_READING_SECONDS: Final = 3600
_MOST_READERS: Final = 10_000

log = get_logger(__name__)

_OVERLAP: Final = timedelta(seconds=10)
_FURTHEST_BACK: Final = timedelta(minutes=10)

Shown = Callable[[Sequence[DictRow]], bytes]
"""The events that tell of lines."""


class LogReaders:
    """Who reads the logs through this process: how many follow, and whose reading stands in the audit already."""

    def __init__(self) -> None:
        self._following = 0
        self._noted: TTLCache[object, bool] = TTLCache(_MOST_READERS, _READING_SECONDS)

    async def note(self, runtime: Runtime, reader: Identity, wanted: LogFilter) -> None:
        """Record that somebody reads, once an hour of their session or token."""
        key = (reader.kind, reader.name, reader.session_id, reader.token_id)
        if key in self._noted:
            return
        async with acting(runtime.pool, reader) as connection:
            await store.note_reading(connection, wanted)
        self._noted[key] = True

    def require_room(self) -> None:
        """Refuse one more follower, before anything is done for them, where as many follow already as may.

        Raises:
            TooManyRequests: As many do.
        """
        if self._following >= MOST_FOLLOWERS:
            raise TooManyRequests(f"{MOST_FOLLOWERS} readers follow the logs through this process already", 10)

    async def follow(
        self, runtime: Runtime, follower: Follower, look_up: Callable[[], Awaitable[object]], shown: Shown
    ) -> AsyncIterator[bytes]:
        """Take a place for one reader; their events, until they are no longer known or the process stops.

        Raises:
            TooManyRequests: As many follow already as may.
        """
        events = self._events(runtime, follower, look_up, shown)
        await anext(events)
        return events

    async def _events(
        self, runtime: Runtime, follower: Follower, look_up: Callable[[], Awaitable[object]], shown: Shown
    ) -> AsyncIterator[bytes]:
        # Asked again: while this reader was looked up, others came.
        self.require_room()
        self._following += 1
        try:
            yield b""  # the place is taken
            yield b": following\n\n"
            check_at = time.monotonic() + _CHECK_SECONDS
            async for lines in follower.lines(runtime.pool.connection):
                if runtime.stopping.is_set():
                    return
                if time.monotonic() >= check_at:
                    check_at = time.monotonic() + _CHECK_SECONDS
                    if not await still_known(look_up):
                        return
                    yield b": still here\n\n"
                if lines:
                    yield shown(lines)
        finally:
            self._following -= 1


class FollowerResponse(StreamingResponse):
    """An event stream that ends when its reader takes nothing for a while, so that it frees its place."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._events = events

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            log.info("log_follower_let_go", unread_seconds=PATIENCE_SECONDS)
        finally:
            closing: Any = getattr(self._events, "aclose", None)
            if closing is not None:
                await closing()


def begin_at(last_seen: str | None, now: datetime) -> datetime:
    """Where a reader goes on that last saw a line of that time: a little before, for it to leave out what it has.

    Now, where it names no time; ten minutes back at most.
    """
    try:
        seen = datetime.fromisoformat(last_seen or "")
    except ValueError:
        return now
    if seen.tzinfo is None:
        return now
    furthest = now - _FURTHEST_BACK
    return min(now, seen - _OVERLAP) if seen > furthest + _OVERLAP else furthest
