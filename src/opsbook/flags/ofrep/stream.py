"""The event stream that tells static-context clients, such as browsers, to ask for their flags again.

Source: open-feature/protocol, architecture decision 8; of the format, WHATWG HTML, 9.2.6.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from opsbook.core.jitter import jitter

_CHECK_SECONDS = 10.0
_SOONEST_RETURN_MILLISECONDS = 500
_LATEST_RETURN_MILLISECONDS = 3000


async def follow(
    revisions: AsyncGenerator[int | None], held_revision: int | None, is_known: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """One reader's stream, which ends when the reader is no longer known.

    It begins with what the reader has missed, told as one event, for each means the same: ask again. A
    reader that holds no revision asked just before it came, and a change may lie in between.
    """
    # Each its own moment: the readers of a restarted server must not all return in the same one.
    pause = jitter(_SOONEST_RETURN_MILLISECONDS, _LATEST_RETURN_MILLISECONDS)
    yield b"retry: %d\n\n" % pause
    check_at = time.monotonic() + _CHECK_SECONDS
    async with aclosing(revisions):
        async for revision in revisions:
            if time.monotonic() >= check_at:
                if not await is_known():
                    return
                check_at = time.monotonic() + _CHECK_SECONDS
            if revision is None:
                yield b": still here\n\n"
            elif revision != held_revision:
                yield _event(revision)


def _event(revision: int) -> bytes:
    data = b'{"type":"refetchEvaluation","etag":"\\"%d\\""}' % revision
    return b"id: %d\nevent: message\ndata: %b\n\n" % (revision, data)
