"""The group commit: what the database refuses takes nothing else with it, and what races is written a second time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest

from opsbook.core.bus import Bus
from opsbook.core.postgres.connect import Connection, make_pool
from opsbook.debugging.intake.items import Count, Counts, Kept, Origin
from opsbook.debugging.intake.projects import Projects
from opsbook.debugging.intake.quotas import Quotas
from opsbook.debugging.intake.refusals import Away
from opsbook.debugging.intake.writer import NotWritten, Writer
from opsbook.debugging.protocol.envelope import Item

pytestmark = pytest.mark.anyio


class Notes:
    """A store of rows that say what the database does to them."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self._raced: set[str] = set()

    def read(self, item: Item, origin: Origin) -> Sequence[str]:
        raise NotImplementedError

    async def write(self, connection: Connection, rows: Sequence[str], counts: Counts) -> Kept:
        for row in rows:
            if row == "limit":
                raise psycopg.errors.ProgramLimitExceeded
            if row == "defect":
                raise KeyError(row)
            if row == "gone":
                raise psycopg.OperationalError
            if row.startswith("deadlock") and row not in self._raced:
                self._raced.add(row)
                raise psycopg.errors.DeadlockDetected
        self.written += rows
        return Kept()


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[tuple[Writer, Notes]]:
    notes = Notes()
    async with make_pool(url, "test") as pool:
        writer = Writer(pool, {"note": notes}, Quotas(Projects(Bus(url))))
        running = asyncio.create_task(writer.run())
        yield writer, notes
        writer.close()
        await asyncio.wait_for(running, 10)


async def outcomes(writer: Writer, *rows: str) -> list[object]:
    """What each of several requests is told that send one row."""
    sent = [writer.submit({"note": [row]}, Counter(), 1) for row in rows]
    return [type(told) if told else None for told in await asyncio.gather(*sent, return_exceptions=True)]


@pytest.mark.parametrize("refused", ["limit", "defect"])
async def test_a_row_that_is_refused_takes_no_other_with_it(ops_url: str, refused: str) -> None:
    async with writing(ops_url) as (writer, notes):
        assert await outcomes(writer, "a", refused, "b", "c") == [None, NotWritten, None, None]
        assert await outcomes(writer, "d") == [None]
        assert sorted(set(notes.written)) == ["a", "b", "c", "d"]


async def test_who_lost_a_race_goes_again(ops_url: str) -> None:
    async with writing(ops_url) as (writer, notes):
        assert await outcomes(writer, "a", "deadlock") == [None, None]
        assert notes.written == ["a", "deadlock"]


async def test_a_lost_database_is_not_asked_again_at_once(ops_url: str) -> None:
    async with writing(ops_url) as (writer, _):
        assert await outcomes(writer, "a", "gone") == [Away, Away]
        assert await outcomes(writer, "b") == [Away]


@pytest.mark.parametrize(("category", "items"), [("er\0ror", 1), ("error", 2**63)])
async def test_a_count_that_is_refused_is_given_up(ops_url: str, category: str, items: int) -> None:
    counts = Counter({Count(1, category, "accepted"): items})
    async with writing(ops_url) as (writer, _):
        writer.count(counts)
        assert await outcomes(writer, "a", "b") == [None, None]
        assert await outcomes(writer, "c") == [None]
