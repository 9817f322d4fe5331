"""Keeps the `check_in` items that Sentry's SDKs send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from opsbook.core.postgres.connect import Connection
from opsbook.debugging.checkins.arrival import Arrival, read_item
from opsbook.debugging.checkins.recording import record
from opsbook.debugging.intake.items import Count, Counts, Kept, Origin
from opsbook.debugging.protocol.envelope import Item
from opsbook.debugging.protocol.items import KINDS, read_object

ROW_BYTES: Final = 300
"""Of a run, on disk, with its indexes."""
_CATEGORY: Final = KINDS["check_in"].category


class CheckInStore:
    """The store of `check_in` items."""

    def read(self, item: Item, origin: Origin) -> Sequence[Arrival]:
        return (read_item(read_object(item), origin.project_id, origin.received_at),)

    async def write(self, connection: Connection, rows: Sequence[Arrival], counts: Counts) -> Kept:
        outcomes = await record(connection, rows)
        for arrival, is_new in zip(rows, outcomes, strict=True):
            counts[_count(arrival.project_id, is_new=is_new)] += 1
        new = Counter(arrival.project_id for arrival, is_new in zip(rows, outcomes, strict=True) if is_new)
        return Kept({project_id: ROW_BYTES * runs for project_id, runs in new.items()})


def _count(project_id: int, *, is_new: bool | None) -> Count:
    if is_new is None:
        return Count(project_id, _CATEGORY, "invalid", "too_many_monitors")
    return Count(project_id, _CATEGORY, "accepted" if is_new else "duplicate")
