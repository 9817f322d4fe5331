"""The seam between the intake and what keeps items: one `ItemStore` for each type of item that is stored.

The intake reads an envelope, has each item read by its type's store, and writes the rows of many
envelopes in one transaction. A type without a store is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from opsbook.core.postgres.connect import Connection
from opsbook.debugging.protocol.envelope import Item
from opsbook.debugging.scrubbing import Scrubber
from opsbook.debugging.sourcemaps.symbolication import Lookup

Outcome = Literal["accepted", "counted", "duplicate", "rate_limited", "invalid", "unavailable", "client_discard"]


class Count(NamedTuple):
    """What is counted together: `category` is the name that rate limits use for a type of item."""

    project_id: int
    category: str
    outcome: Outcome
    reason: str = ""


Counts = Counter[Count]
Kept = Counter[int]
"""Bytes that are kept, with what rows and indexes take on disk, about; by project."""


class Origin(msgspec.Struct, frozen=True):
    """Where an item comes from, and what is taken out of it."""

    project_id: int
    received_at: datetime
    sent_at: datetime | None
    event_id: str | None
    """The envelope's, 32 hexadecimal digits."""
    address: str | None
    """The sender's IP address."""
    scrubber: Scrubber
    lookup: Lookup | None = None
    """Finds the source maps of the scripts that an event's frames lie in."""


class ItemStore(Protocol):
    """Keeps items of one type."""

    def read(self, item: Item, origin: Origin) -> Sequence[Any]:
        """The item's rows, scrubbed. Called in any thread; does no I/O. Raises `Malformed` or `TooLarge`."""
        ...

    async def write(self, connection: Connection, rows: Sequence[Any], counts: Counts) -> Kept:
        """Write rows of many items, inside the transaction that acknowledges them all, and count what became of each.

        Locks are taken in one order (by key), for another process writes beside this one.
        """
        ...


_stores: Final[dict[str, ItemStore]] = {}


def register(kind: str, store: ItemStore) -> None:
    """Have items of that type kept by `store`."""
    _stores[kind] = store


def stores() -> Mapping[str, ItemStore]:
    """Each type that is kept, in the order in which the rows of a transaction are written."""
    return MappingProxyType(_stores)
