"""The event stream that tells static-context clients, such as browsers, to ask for their flags again.

Source: open-feature/protocol, architecture decision 8.
"""

from __future__ import annotations

from contextlib import aclosing

from opsbook.core.http.server_sent import Events, come_again, event
from opsbook.core.jitter import jitter
from opsbook.flags.service import Snapshots

_SOONEST_RETURN_MILLISECONDS = 500
_LATEST_RETURN_MILLISECONDS = 3000


async def changes(snapshots: Snapshots, held_revision: int | None) -> Events:
    """One reader's events, beginning with what it has missed.

    That is told as one event, for each means the same: ask again. A reader that holds no revision asked
    just before it came, and a change may lie in between.
    """
    # Each its own moment: the readers of a restarted server must not all return in the same one.
    yield come_again(jitter(_SOONEST_RETURN_MILLISECONDS, _LATEST_RETURN_MILLISECONDS))
    async with aclosing(snapshots):
        async for snapshot in snapshots:
            if snapshot is None:
                yield None
            elif snapshot.revision != held_revision:
                data = b'{"type":"refetchEvaluation","etag":"\\"%d\\""}' % snapshot.revision
                yield event("message", data, snapshot.revision)
