"""One person's trail: what every source knows, merged into one order, read page by page."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Final, TypeAlias

import psycopg
from psycopg_pool import PoolTimeout

from opsbook.core.errors import Invalid, Unavailable
from opsbook.core.postgres.connect import Connection
from opsbook.core.settings import Database
from opsbook.debugging.users.sources.interface import BEGINNING, END, Entry, Slice, Source, SourceMissing

Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]
Order: TypeAlias = tuple[datetime, str, str]

MOST_ENTRIES: Final = 1_000
LONGEST_ID: Final = 200
_UNANSWERED: Final = (psycopg.OperationalError, PoolTimeout, Unavailable, OSError)


@dataclass(frozen=True, slots=True)
class Place:
    """Between two entries: whatever comes after it in the order is older."""

    at: datetime
    kind: str
    key: str

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.kind}~{self.key}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """A place as `str` writes it.

        Raises:
            Invalid: It is none.
        """
        try:
            at, kind, key = text.split("~", 2)
            place = cls(datetime.fromisoformat(at), kind, key)
        except ValueError as error:
            raise Invalid(f"{text[:60]!r} is no place in a timeline; take the one that a page gave") from error
        if place.at.tzinfo is None or "\0" in text:
            raise Invalid(f"{text[:60]!r} is no place in a timeline; take the one that a page gave")
        return place


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose trail, and what of it."""

    user_id: str
    kinds: Collection[str] = ()
    """None named: all."""
    since: datetime = BEGINNING
    until: datetime = END
    before: Place | None = None
    limit: int = 100

    def checked(self, known: Collection[str]) -> Wanted:
        """Itself, if it makes sense.

        Raises:
            Invalid: There is no such kind, or the id can be nobody's.
        """
        if not 0 < len(self.user_id) <= LONGEST_ID or "\0" in self.user_id:
            raise Invalid(f"a user's id has 1 to {LONGEST_ID} characters")
        if unknown := [kind for kind in self.kinds if kind not in known]:
            raise Invalid(f"there is no kind {unknown[0]!r}; there are {', '.join(known)}")
        return replace(self, limit=max(1, min(self.limit, MOST_ENTRIES)))


@dataclass(frozen=True, slots=True)
class Timeline:
    """A page of a trail, the newest first."""

    entries: Sequence[Entry]
    older: Place | None
    """Where the next page begins; None where there is none."""
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sources that could not be looked at, by their kind, each with the reason."""


class Trails:
    """Reads trails from a set of sources.

    Args:
        sources: Each of a kind of its own.
        connects: How to reach the databases that they look in; one that is left out is not known.
    """

    def __init__(self, sources: Sequence[Source], connects: Mapping[Database, Connect]) -> None:
        self._sources = sources
        self._connects = connects

    @property
    def kinds(self) -> Sequence[str]:
        return [source.kind for source in self._sources]

    @property
    def notes(self) -> Sequence[str]:
        """What has to be known to read the entries rightly."""
        return [source.note for source in self._sources if source.note]

    async def read(self, wanted: Wanted) -> Timeline:
        """A page of a person's trail. A source that does not answer is named, and keeps none of the others back.

        Raises:
            Invalid: What is wanted makes no sense.
        """
        wanted = wanted.checked(self.kinds)
        databases: tuple[Database, ...] = ("service", "ops")
        found = await asyncio.gather(*(self._of_database(database, wanted) for database in databases))
        lists = [entries for pages, _ in found for entries in pages]
        merged = list(islice(heapq.merge(*lists, key=_order, reverse=True), wanted.limit + 1))
        page = merged[: wanted.limit]
        older = Place(page[-1].at, page[-1].kind, page[-1].key) if len(merged) > wanted.limit else None
        return Timeline(page, older, {kind: reason for _, missing in found for kind, reason in missing.items()})

    async def pages(self, wanted: Wanted) -> AsyncIterator[Timeline]:
        """All of a person's trail; holds one page in memory, and no connection between pages."""
        while True:
            page = await self.read(wanted)
            yield page
            if page.older is None:
                return
            wanted = replace(wanted, before=page.older)

    async def _of_database(self, database: Database, wanted: Wanted) -> tuple[list[Sequence[Entry]], dict[str, str]]:
        sources = [s for s in self._sources if s.database == database and (not wanted.kinds or s.kind in wanted.kinds)]
        connect = self._connects.get(database)
        if not sources:
            return [], {}
        if connect is None:
            return [], {source.kind: f"no {database} database is known" for source in sources}
        pages: list[Sequence[Entry]] = []
        missing: dict[str, str] = {}
        try:
            async with connect() as connection:
                for source in sources:
                    try:
                        pages.append(await source.read(connection, slice_for(source.kind, wanted)))
                    except SourceMissing as error:
                        missing[source.kind] = str(error)
        except _UNANSWERED:
            unread = [source.kind for source in sources][len(pages) + len(missing) :]
            missing |= dict.fromkeys(unread, f"the {database} database did not answer in time")
        return pages, missing


def slice_for(kind: str, wanted: Wanted) -> Slice:
    """The part of a trail that a source of this kind has to look at for the page that is wanted."""
    before, limit = wanted.before, wanted.limit + 1
    if before is None or before.at >= wanted.until:
        return Slice(wanted.user_id, limit, wanted.since, wanted.until)
    # Of one moment, kinds come in falling order, and so do the keys of a kind.
    key = before.key if kind == before.kind else None if kind < before.kind else ""
    return Slice(wanted.user_id, limit, wanted.since, before.at, key)


def _order(entry: Entry) -> Order:
    return entry.at, entry.kind, entry.key
