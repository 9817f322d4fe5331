"""The event stream of SDKs that do not want to poll: the whole state at first, and again at each change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from opsbook.core.http.server_sent import Events, event
from opsbook.flags.service import Snapshots
from opsbook.flags.unleash.features import Features


async def states(snapshots: Snapshots, features: Callable[[], Features]) -> Events:
    """One SDK's events; a slow one gets the newest state only."""
    kind = "unleash-connected"
    async with aclosing(snapshots):
        async for snapshot in snapshots:
            if snapshot is None:
                yield None
            else:
                yield event(kind, features().event, snapshot.revision)
                kind = "unleash-updated"
