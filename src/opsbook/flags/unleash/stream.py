"""The event stream of SDKs that do not want to poll: the whole state at first, and again at each change."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from opsbook.flags.unleash.features import Features

_CHECK_SECONDS = 10.0


async def follow(
    revisions: AsyncGenerator[int | None], features: Callable[[], Features], is_known: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """One SDK's stream, which ends when its token is no longer known; a slow one gets the newest state only."""
    kind = b"unleash-connected"
    check_at = time.monotonic() + _CHECK_SECONDS
    async with aclosing(revisions):
        async for revision in revisions:
            if time.monotonic() >= check_at:
                if not await is_known():
                    return
                check_at = time.monotonic() + _CHECK_SECONDS
            if revision is None:
                yield b": still here\n\n"
            else:
                yield b"id: %d\nevent: %b\ndata: %b\n\n" % (revision, kind, features().event)
                kind = b"unleash-updated"
