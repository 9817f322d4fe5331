"""Merging and paging: whatever the sources hold, the pages give it once, in order, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import cast

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.core.errors import Invalid
from opsbook.core.postgres.connect import Connection
from opsbook.debugging.users.sources.interface import Entry, Slice, Source, SourceMissing
from opsbook.debugging.users.timeline import Place, Trails, Wanted

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("audit", "errors", "events", "logs")
ENTRIES = st.builds(
    lambda minute, kind, key: Entry(START + timedelta(minutes=minute), kind, key, f"{kind} {key}"),
    st.integers(0, 6),
    st.sampled_from(KINDS),
    st.text("0ab~é", min_size=1, max_size=3),
)


class Remembered(Source):
    """A source in memory, that reads the slice as the statements do."""

    database = "ops"

    def __init__(self, kind: str, entries: Sequence[Entry]) -> None:
        self.kind = kind
        self._entries = [entry for entry in entries if entry.kind == kind]

    async def read(self, connection: Connection, wanted: Slice) -> Sequence[Entry]:
        found = [
            entry
            for entry in self._entries
            if wanted.since <= entry.at <= wanted.until
            and (entry.at < wanted.until or wanted.before_key is None or entry.key < wanted.before_key)
        ]
        return sorted(found, key=lambda entry: (entry.at, entry.key), reverse=True)[: wanted.limit]


class Absent(Remembered):
    """A source that is not there."""

    async def read(self, connection: Connection, wanted: Slice) -> Sequence[Entry]:
        raise SourceMissing("there is no such table")


class Silent(Remembered):
    """A source whose database hangs up."""

    async def read(self, connection: Connection, wanted: Slice) -> Sequence[Entry]:
        raise psycopg.OperationalError("hung up")


@asynccontextmanager
async def nowhere() -> AsyncIterator[Connection]:
    yield cast("Connection", None)


@given(st.lists(ENTRIES, unique_by=lambda entry: (entry.at, entry.kind, entry.key)), st.integers(1, 7))
async def test_the_pages_together_are_all_there_is_in_order(entries: list[Entry], limit: int) -> None:
    trails = Trails([Remembered(kind, entries) for kind in KINDS], {"ops": nowhere})
    pages = [page async for page in trails.pages(Wanted("u", limit=limit))]
    paged = [entry for page in pages for entry in page.entries]
    assert paged == sorted(entries, key=lambda entry: (entry.at, entry.kind, entry.key), reverse=True)
    assert all(len(page.entries) == limit for page in pages[:-1])


@given(st.lists(ENTRIES, unique_by=lambda entry: (entry.at, entry.kind, entry.key)), st.sets(st.sampled_from(KINDS)))
async def test_only_what_is_asked_for_is_given(entries: list[Entry], kinds: set[str]) -> None:
    since, until = START + timedelta(minutes=2), START + timedelta(minutes=4)
    trails = Trails([Remembered(kind, entries) for kind in KINDS], {"ops": nowhere})
    found = (await trails.read(Wanted("u", kinds, since, until))).entries
    asked_for = [e for e in entries if since <= e.at < until and (not kinds or e.kind in kinds)]
    assert found == sorted(asked_for, key=lambda entry: (entry.at, entry.kind, entry.key), reverse=True)


@given(ENTRIES)
async def test_a_place_reads_as_it_was_written(entry: Entry) -> None:
    place = Place(entry.at, entry.kind, entry.key)
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize("text", ["", "x", "2026-01-01~a~b", "never~a~b", "2026-01-01T00:00:00+00:00~a"])
async def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Place.parse(text)


async def test_a_source_that_is_not_there_is_named_and_keeps_nothing_else_back() -> None:
    entry = Entry(START, "events", "1", "came")
    trails = Trails([Absent("errors", []), Remembered("events", [entry]), Silent("logs", [])], {"ops": nowhere})
    found = await trails.read(Wanted("u"))
    assert found.entries == [entry]
    assert found.missing == {
        "errors": "there is no such table",
        "logs": "the ops database did not answer in time",
    }


@pytest.mark.parametrize("wanted", [Wanted(""), Wanted("a\0"), Wanted("x" * 201), Wanted("u", ["letters"])])
async def test_what_makes_no_sense_is_refused(wanted: Wanted) -> None:
    with pytest.raises(Invalid):
        await Trails([Remembered("events", [])], {"ops": nowhere}).read(wanted)
