"""Server-sent events: an answer that goes on for as long as its reader is known (WHATWG HTML, 9.2.6).

Who makes the events is asked for the next one only once the last was taken off its hands, so a reader that
does not read holds up nobody, and costs no more than one event and the buffers of its connection. That holds
where the maker keeps no queue: it tells the newest state when asked.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from starlette.responses import StreamingResponse

HEARTBEAT_SECONDS = 10.0
"""How often a reader hears something, at least, and is asked after."""

Events = AsyncGenerator[bytes | None]
"""Events as they are sent; None at least every `HEARTBEAT_SECONDS` while there are none."""

_STILL_HERE = b": still here\n\n"


def event_stream(events: Events, is_known: Callable[[], Awaitable[bool]], farewell: bytes = b"") -> StreamingResponse:
    """Events for a reader until it is no longer known.

    Args:
        events: What it is sent.
        is_known: Asked every `HEARTBEAT_SECONDS`: a token may be revoked, a session end, while the answer goes on.
        farewell: What a reader no longer known is sent last.
    """
    # A proxy (X-Accel-Buffering is nginx's) must neither keep nor gather what is worth something at once only.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_while_known(events, is_known, farewell), media_type="text/event-stream", headers=headers)


def event(kind: str, data: bytes, number: int | None = None) -> bytes:
    """One event; its data is a single line. A number is what the reader says that it holds when it comes again."""
    identity = b"" if number is None else b"id: %d\n" % number
    return b"event: %b\n%bdata: %b\n\n" % (kind.encode(), identity, data)


def come_again(milliseconds: float) -> bytes:
    """How long a reader is to wait before it comes again after a lost connection."""
    return b"retry: %d\n\n" % milliseconds


async def _while_known(
    events: Events, is_known: Callable[[], Awaitable[bool]], farewell: bytes
) -> AsyncIterator[bytes]:
    check_at = time.monotonic() + HEARTBEAT_SECONDS
    async with aclosing(events):
        async for each in events:
            if time.monotonic() >= check_at:
                if not await is_known():
                    if farewell:
                        yield farewell
                    return
                check_at = time.monotonic() + HEARTBEAT_SECONDS
            yield _STILL_HERE if each is None else each
