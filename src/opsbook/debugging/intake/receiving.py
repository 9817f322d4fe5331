"""From an envelope to rows in the database: each item read by its type's store, then all of them committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from opsbook.core.errors import OpsbookError, TooManyRequests
from opsbook.core.log import get_logger
from opsbook.debugging.intake.body import INLINE_BYTES, Room
from opsbook.debugging.intake.items import Count, Counts, ItemStore, Origin
from opsbook.debugging.intake.projects import Project, Projects
from opsbook.debugging.intake.quotas import Quotas
from opsbook.debugging.intake.refusals import Away, Busy, QuotaUsedUp
from opsbook.debugging.intake.writer import Writer
from opsbook.debugging.protocol.document import MOST_TEXT_BYTES
from opsbook.debugging.protocol.envelope import Envelope, Item
from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.protocol.items import check_size, kind_of, quantity, read_client_report
from opsbook.debugging.protocol.rate_limits import RateLimit
from opsbook.debugging.scrubbing import Scrubber
from opsbook.debugging.sourcemaps.maps import SourceMaps
from opsbook.debugging.sourcemaps.symbolication import Lookup

log = get_logger(__name__)


class Receipt(msgspec.Struct, frozen=True):
    """What the sender is told of an envelope that was kept, in part at least."""

    event_id: str | None
    limits: Sequence[RateLimit] = ()


class Receiver:
    """What one process receives with; made when the server starts."""

    def __init__(
        self,
        projects: Projects,
        quotas: Quotas,
        writer: Writer,
        *,
        scrubber: Scrubber,
        source_maps: SourceMaps,
        stores: Mapping[str, ItemStore],
        clock: Callable[[], datetime],
    ) -> None:
        self.projects = projects
        self.room = Room()
        self.writer = writer
        self._quotas = quotas
        self._scrubber = scrubber
        self._source_maps = source_maps
        self._stores = stores
        self._clock = clock

    async def receive(self, project: Project, envelope: Envelope, address: str | None, size_bytes: int) -> Receipt:
        """Keep what is in an envelope; returns once it is committed.

        An item that is malformed or over its quota is counted and passed over, unless nothing else was sent.

        Raises:
            Malformed, TooLarge, QuotaUsedUp: Nothing in the envelope could be kept.
            Away, Busy, NotWritten: As `Writer.submit`.
        """
        origin = Origin(
            project_id=project.project_id,
            received_at=self._clock(),
            sent_at=envelope.sent_at,
            event_id=envelope.event_id,
            address=address,
            scrubber=self._scrubber,
            lookup=await self._lookup(project.project_id, envelope.items),
        )
        reading = _Reading(self._stores, origin)
        is_small = size_bytes <= INLINE_BYTES
        admitted = self._admitted(project, envelope.items, reading)
        await self.room.work(lambda: reading.read(admitted), is_small=is_small)
        if reading.refusal is not None and not reading.kept:
            self.writer.count(reading.counts)
            raise reading.refusal
        await self._commit(reading, size_bytes)
        events = reading.rows.get("event")
        return Receipt(events[0].event_id.hex if events else envelope.event_id, reading.limits)

    async def _lookup(self, project_id: int, items: Sequence[Item]) -> Lookup | None:
        """The source maps of the one event that an envelope may hold; too large a one is read back when looked at."""
        events = [item for item in items if item.type == "event"]
        if len(events) != 1 or len(events[0].payload) > MOST_TEXT_BYTES:
            return None
        return await self._source_maps.lookup(project_id, events[0].payload)

    def _admitted(self, project: Project, items: Sequence[Item], reading: _Reading) -> list[Item]:
        """The items that are within the project's quotas."""
        try:
            self._quotas.check(project, reading.origin.received_at)
        except QuotaUsedUp as refusal:
            reading.limits.append(refusal.limit)
            admitted: list[Item] = []
            for item in items:
                if refusal.limit.covers(kind_of(item).category):
                    reading.refuse(item, "rate_limited", refusal.limit.reason, refusal)
                else:
                    admitted.append(item)
            return admitted
        return list(items)

    async def _commit(self, reading: _Reading, size_bytes: int) -> None:
        if not reading.rows:
            self.writer.count(reading.counts)
            return
        try:
            await self.writer.submit(reading.rows, reading.counts, size_bytes)
        except (Away, Busy) as refusal:
            outcome = "rate_limited" if isinstance(refusal, TooManyRequests) else "unavailable"
            categories = Counter(kind_of(item).category for item in reading.kept)
            project_id = reading.origin.project_id
            lost = {Count(project_id, name, outcome, refusal.limit.reason): n for name, n in categories.items()}
            self.writer.count(Counter(lost))
            raise


class _Reading:
    """An envelope's items as they are read."""

    def __init__(self, stores: Mapping[str, ItemStore], origin: Origin) -> None:
        self.origin = origin
        self.rows: dict[str, list[Any]] = {}
        self.counts: Counts = Counter()
        self.kept: list[Item] = []
        self.limits: list[RateLimit] = []
        self.refusal: OpsbookError | None = None
        self._stores = stores

    def read(self, items: Sequence[Item]) -> None:
        for item in items:
            try:
                check_size(item)
                self._read_item(item)
            except (Malformed, TooLarge) as refusal:
                self.refuse(item, "invalid", type(refusal).__name__, refusal)
            else:
                self.kept.append(item)

    def refuse(self, item: Item, outcome: Any, reason: str, refusal: OpsbookError) -> None:
        self.counts[Count(self.origin.project_id, kind_of(item).category, outcome, reason)] += quantity(item)
        self.refusal = self.refusal or refusal

    def _read_item(self, item: Item) -> None:
        store = self._stores.get(item.type)
        if store is not None:
            self.rows.setdefault(item.type, []).extend(store.read(item, self.origin))
        elif item.type == "client_report":
            for report in read_client_report(item):
                count = Count(self.origin.project_id, report.category, "client_discard", report.reason)
                self.counts[count] += report.quantity
        else:
            self.counts[Count(self.origin.project_id, kind_of(item).category, "counted", _known(item))] += quantity(
                item
            )


def _known(item: Item) -> str:
    """The item's type, where it is known; a sender must not fill the counts with types that it makes up."""
    return item.type if kind_of(item).category != "default" else "unknown"
