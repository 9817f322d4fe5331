"""The maps that a process holds: looked for when an event needs them, told of uploads, bounded, never in the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from opsbook.core.bus import Bus
from opsbook.core.postgres.connect import connect, make_pool
from opsbook.debugging.sourcemaps import maps as module
from opsbook.debugging.sourcemaps import store
from opsbook.debugging.sourcemaps.maps import SourceMaps
from opsbook.debugging.sourcemaps.source_map import pack, read_source_map
from opsbook.debugging.sourcemaps.symbolication import symbolicate
from tests.debugging.sourcemaps.building import event_at, frames_of

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[Any]
URL = "https://shop.example/a.js"


@pytest.fixture(autouse=True)
def _none_left_behind(database: Database) -> Iterator[None]:
    yield
    database.execute("delete from source_map_bundles")


@asynccontextmanager
async def process(url: str) -> AsyncIterator[SourceMaps]:
    """What a process holds. Its bus is not started: `tell` says when it hears of an upload."""
    async with make_pool(url, "test") as pool:
        yield SourceMaps(pool, Bus(url))


def tell(maps: SourceMaps, database: Database) -> None:
    maps._read(database, 0)


async def upload(url: str, release: str, source: str = "a.ts", *scripts: str) -> None:
    text = "x" * 1_000
    written = {"version": 3, "sources": [source], "sourcesContent": [text], "mappings": "AAAA"}
    content = pack(read_source_map(json.dumps(written).encode()))
    bundle = store.NewBundle(1, f"{release}{source}".encode(), None, release, "")
    new = store.NewMap("~/a.map", None, scripts or ["~/a.js"], content)
    async with connect(url, "test") as connection:
        await store.add_bundle(connection, bundle, [new], [])


async def sources(maps: SourceMaps, *urls: str, release: str = "1") -> list[str]:
    """What the frames' files are after an event was sent."""
    event = event_at(URL, (1, 1), release=release)
    event["exception"]["values"][0]["stacktrace"]["frames"] = [
        frame for url in urls or [URL] for frame in frames_of(event_at(url, (1, 1)))
    ]
    lookup = await maps.lookup(1, json.dumps(event).encode())
    if lookup:
        symbolicate(event, lookup)
    return [frame["filename"] for frame in frames_of(event)]


async def test_an_upload_is_used_once_it_is_heard_of(ops_url: str, database: Database) -> None:
    async with process(ops_url) as maps:
        tell(maps, database)
        assert await sources(maps) == [URL]
        await upload(ops_url, "1")
        tell(maps, database)
        assert await sources(maps) == ["a.ts"]
        assert await sources(maps, release="2") == [URL]
        await upload(ops_url, "1", "newer.ts")
        await upload(ops_url, "2", "other.ts")
        assert await sources(maps) == ["a.ts"], "what is known is not asked for again"
        tell(maps, database)
        assert await sources(maps) == ["newer.ts"]
        assert await sources(maps, release="2") == ["other.ts"]


async def test_memory_is_bounded_and_what_left_comes_back(
    ops_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await upload(ops_url, "1", f"{number}.ts", f"~/{number}.js")
    urls = [f"https://shop.example/{number}.js" for number in range(5)]
    async with process(ops_url) as maps:
        tell(maps, database)
        await sources(maps, urls[0])
        monkeypatch.setattr(module, "MOST_BYTES", 2 * maps.size_bytes)
        for _ in range(2):
            assert await sources(maps, *urls) == [f"{number}.ts" for number in range(5)]
            assert maps.size_bytes <= module.MOST_BYTES


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b'{"platform":"javascript"', b'{"platform":"javascript"}', b'{"platform":"python"}', b"\xff"],
)
async def test_what_has_no_script_asks_nothing(ops_url: str, database: Database, payload: bytes) -> None:
    await upload(ops_url, "1")
    async with process(ops_url) as maps:
        tell(maps, database)
        assert await maps.lookup(1, payload) is None
        assert await maps.lookup(2, json.dumps(event_at(URL, (1, 1), release="1")).encode()) is None


async def test_an_event_is_not_kept_waiting_for_a_database_that_is_away(ops_url: str, database: Database) -> None:
    await upload(ops_url, "1")
    async with make_pool(ops_url.replace("127.0.0.1", "127.0.0.2"), "test") as pool:
        maps = SourceMaps(pool, Bus(ops_url))
        tell(maps, database)
        assert await sources(maps) == [URL]


async def test_a_map_in_use_is_not_dropped(ops_url: str, database: Database) -> None:
    await upload(ops_url, "1")
    database.execute("update source_map_bundles set uploaded_at = now() - interval '1 year'")
    database.execute("update source_maps set used_at = now() - interval '1 year'")
    async with process(ops_url) as maps, connect(ops_url, "test") as connection:
        tell(maps, database)
        assert await sources(maps) == ["a.ts"]
        await store.tidy(connection, timedelta(days=90))
        assert await (await connection.execute("select from source_maps")).fetchone() is not None
