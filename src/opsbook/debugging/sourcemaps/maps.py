"""The source maps that a process holds in memory, loaded from the database when an event first needs them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import Final, TypeAlias

import orjson
import psycopg
from psycopg_pool import PoolTimeout

from opsbook.core.bus import Bus, SyncConnection
from opsbook.core.deadline import within
from opsbook.core.errors import Unavailable
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import Connection, Pool
from opsbook.debugging.scrubbing import Scrubber
from opsbook.debugging.sourcemaps import store
from opsbook.debugging.sourcemaps.source_map import SourceMap, unpack
from opsbook.debugging.sourcemaps.symbolication import Document, Lookup, Script, addresses, scripts_of, symbolicate

TOPIC: Final = "source_maps"
MOST_BYTES: Final = 128 * 1024 * 1024
"""Of maps held in memory; the one used longest ago goes first."""
_MOST_PLACES: Final = 10_000
_UNKNOWN: Final = 0
_PATIENCE_SECONDS: Final = 2.0
_MENTIONS: Final = (b'"javascript"', b'"node"')

log = get_logger(__name__)

Place: TypeAlias = tuple[int, Script]
"""A script of a project."""


class SourceMaps:
    """One process's source maps. An upload is noticed by all of them within moments."""

    def __init__(self, pool: Pool, bus: Bus) -> None:
        self._pool = pool
        self._projects: frozenset[int] = frozenset()
        self._ids: dict[Place, int | None] = {}
        self._maps: OrderedDict[int, SourceMap] = OrderedDict()
        self.size_bytes = 0
        """Of the maps in memory."""
        self._one_at_a_time = asyncio.Lock()
        self.forget = bus.subscribe(TOPIC, self._read)

    async def lookup(self, project_id: int, payload: bytes | memoryview) -> Lookup | None:
        """With which to `symbolicate` an event that is still as it was sent; None where there is nothing to do.

        Costs nothing for what is not JavaScript, and for projects without source maps. Where the database does not
        answer in time there is none, either: what is kept as it came is read back when it is looked at.
        """
        if project_id not in self._projects or not any(mention in bytes(payload) for mention in _MENTIONS):
            return None
        try:
            document = orjson.loads(payload)
        except orjson.JSONDecodeError:  # whoever reads it next says what is wrong with it
            return None
        scripts = scripts_of(document) if isinstance(document, dict) else ()
        if not scripts:
            return None
        try:
            return await within(_PATIENCE_SECONDS, self._lookup(project_id, scripts))
        except (psycopg.Error, PoolTimeout, Unavailable) as error:
            log.warning("source_maps_not_read", error=type(error).__name__)
            return None

    async def _lookup(self, project_id: int, scripts: Sequence[Script]) -> Lookup:
        found = {script.url: await self._map(project_id, script) for script in scripts}
        return found.get

    async def _map(self, project_id: int, script: Script) -> SourceMap | None:
        place = (project_id, script)
        map_id = self._ids.get(place, _UNKNOWN)
        held = self._held(map_id)
        if held is not None or map_id is None:
            return held
        async with self._one_at_a_time, self._pool.connection() as connection:
            return await self._load(connection, place)

    async def _load(self, connection: Connection, place: Place) -> SourceMap | None:
        ids = self._ids  # an upload meanwhile puts a new one in its place, which must not be told what was before
        map_id = ids[place] if place in ids else await _find(connection, *place)
        if len(ids) >= _MOST_PLACES:
            ids.clear()
        ids[place] = map_id
        held = self._held(map_id)
        if held is not None or map_id is None:
            return held
        content = await store.load_map(connection, map_id)
        if content is None:
            ids[place] = None
            return None
        loaded = await asyncio.to_thread(unpack, content)
        self._hold(map_id, loaded)
        return loaded

    def _held(self, map_id: int | None) -> SourceMap | None:
        held = self._maps.get(map_id) if map_id is not None else None
        if held is not None and map_id is not None:
            self._maps.move_to_end(map_id)
        return held

    def _hold(self, map_id: int, loaded: SourceMap) -> None:
        self._maps[map_id] = loaded
        self.size_bytes += loaded.size_bytes
        while self.size_bytes > MOST_BYTES and len(self._maps) > 1:
            _, dropped = self._maps.popitem(last=False)
            self.size_bytes -= dropped.size_bytes

    def _read(self, connection: SyncConnection, _: int) -> None:
        rows = connection.execute(store.QUERIES["projects_with_maps"]).fetchall()
        self._projects = frozenset(row[0] for row in rows)
        self._ids = {}


async def read_back(connection: Connection, project_id: int, document: Document) -> Document:
    """An event as it is shown: one that was kept as it came is read back now, for its maps may have come later.

    What the maps add is scrubbed, as it would have been before the event was kept.
    """
    found: dict[str, SourceMap] = {}
    maps: dict[int, SourceMap] = {}
    for script in scripts_of(document):
        map_id = await _find(connection, project_id, script)
        content = await store.load_map(connection, map_id) if map_id is not None and map_id not in maps else None
        if map_id is not None and content is not None:
            maps[map_id] = await asyncio.to_thread(unpack, content)
        if map_id in maps:
            found[script.url] = maps[map_id]
    return _scrubber().scrub(document) if symbolicate(document, found.get) else document


@cache
def _scrubber() -> Scrubber:
    return Scrubber()


async def _find(connection: Connection, project_id: int, script: Script) -> int | None:
    """The number of a script's map: by debug id, which is certain, else by release and address."""
    found = await store.map_by_debug_id(connection, project_id, script.debug_id) if script.debug_id else None
    if found is None and script.release:
        urls = addresses(script.url)
        found = await store.map_by_address(connection, project_id, script.release, script.dist, urls)
    return found
