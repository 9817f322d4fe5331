"""The seam between a timeline and the places that it is gathered from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from opsbook.core.postgres.connect import Connection
from opsbook.core.settings import Database

BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
END: Final = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a person did, or that happened to them."""

    at: datetime
    kind: str
    key: str
    """Tells it from others of its kind and moment."""
    title: str
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    path: str | None = None
    """Of the console's page on it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Which of a person's entries: from `since` on, below (`until`, `before_key`), the newest first."""

    user_id: str
    limit: int
    since: datetime = BEGINNING
    until: datetime = END
    before_key: str | None = ""
    """At the very moment of `until` those with a lower key: none for the empty text, all for None."""

    @property
    def parameters(self) -> dict[str, Any]:
        """As the statements of `queries.sql` name them."""
        names = ("user_id", "limit", "since", "until", "before_key")
        return {name: getattr(self, name) for name in names}


class SourceMissing(Exception):
    """The place is not there, or does not let us look; the message says which and why."""


class Source(ABC):
    """One place that knows what people did."""

    kind: str
    """What its entries are: events, sessions, errors, logs, flags, audit, or as a mapping names it."""
    database: Database
    """Where it looks."""
    note: str | None = None
    """What has to be known of its entries to read them rightly."""

    @abstractmethod
    async def read(self, connection: Connection, wanted: Slice) -> Sequence[Entry]:
        """A person's entries, the newest first, those of one moment by falling key; fewer than the limit is all.

        Raises:
            SourceMissing: There is no such place.
        """
