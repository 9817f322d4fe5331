"""The dictionaries of projects: known to each process, trained by the worker, kept as long as they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from opsbook.core.bus import Bus, SyncConnection
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.errors.compression import (
    LEAST_SAMPLES,
    Dictionary,
    decompress,
    dictionary_of,
    read_payload,
    train,
)
from opsbook.debugging.intake.projects import TOPIC

SAMPLES: Final = 300
TRAINED_AGAIN_AFTER: Final = timedelta(days=7)
_QUERIES: Final = load_queries("opsbook.debugging.errors")


class Dictionaries:
    """The newest dictionary of each project, read anew when one is trained."""

    def __init__(self, bus: Bus) -> None:
        self._newest: Mapping[int, Dictionary] = MappingProxyType({})
        self._ids: Mapping[int, int] = {}
        self.forget = bus.subscribe(TOPIC, self._read)

    def newest(self, project_id: int) -> Dictionary | None:
        """What events of the project are compressed with now."""
        return self._newest.get(project_id)

    def _read(self, connection: SyncConnection, _: int) -> None:
        ids = dict(connection.execute(_QUERIES["newest_dictionaries"]).fetchall())
        if ids == self._ids:
            return
        rows = connection.execute(_QUERIES["dictionaries"], {"ids": list(ids.values())}).fetchall()
        found = {row[0]: Dictionary(bytes(row[1])) for row in rows}
        self._newest = MappingProxyType({project: found[number] for project, number in ids.items() if number in found})
        self._ids = ids


async def read_document(connection: Connection, payload: bytes) -> dict[str, object]:
    """The event's document in a payload, with whatever dictionary it needs."""
    number = dictionary_of(payload)
    return read_payload(payload, await _dictionary(connection, number) if number else None)


async def train_due(connection: Connection) -> int:
    """Train a dictionary for each project whose events have none, or one of last week; gives how many that was."""
    due = await (await connection.execute(_QUERIES["untrained"], {"age": TRAINED_AGAIN_AFTER})).fetchall()
    trained = 0
    for row in due:
        trained += await _train(connection, row["id"])
    return trained


async def _train(connection: Connection, project_id: int) -> bool:
    found = await connection.execute(_QUERIES["samples"], {"project": project_id, "limit": SAMPLES})
    payloads = [bytes(row["payload"]) for row in await found.fetchall()]
    if len(payloads) < LEAST_SAMPLES:
        return False
    numbers = {number for payload in payloads if (number := dictionary_of(payload))}
    known = {number: await _dictionary(connection, number) for number in numbers}
    samples = [decompress(payload, known.get(dictionary_of(payload) or 0)) for payload in payloads]
    made = await asyncio.to_thread(train, samples)
    await connection.execute(
        _QUERIES["add_dictionary"], {"id": made.id, "project": project_id, "content": made.content}
    )
    return True


async def _dictionary(connection: Connection, number: int) -> Dictionary | None:
    row = await (await connection.execute(_QUERIES["dictionaries"], {"ids": [number]})).fetchone()
    return Dictionary(bytes(row["content"])) if row else None
