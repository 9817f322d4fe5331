"""Payloads and the dictionaries that halve them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import psycopg
from hypothesis import given
from hypothesis import strategies as st

from opsbook.core.postgres.connect import connect
from opsbook.debugging.errors.compression import compress, decompress, dictionary_of, train
from opsbook.debugging.errors.dictionaries import train_due
from tests.debugging.events import python_event
from tests.debugging.sending import Sender, key_of
from tests.upping import until

DICTIONARY = train([python_event(2_000 + number) for number in range(60)])


@given(st.binary(max_size=2_000), st.booleans())
def test_what_goes_in_comes_out(text: bytes, with_dictionary: bool) -> None:
    dictionary = DICTIONARY if with_dictionary else None
    payload = compress(text, dictionary)
    assert dictionary_of(payload) == (DICTIONARY.id if with_dictionary else None)
    assert decompress(payload, dictionary) == text


def test_a_project_learns_what_its_events_have_in_common(
    anonymous: httpx.Client, api: httpx.Client, database: psycopg.Connection[Any], ops_url: str
) -> None:
    sender = Sender(anonymous, key_of(database))
    shape = orjson.loads(python_event(6_000))
    common = {"breadcrumbs": shape["breadcrumbs"], "extra": {"frames": shape["exception"]}}
    early = [sender.event(f"Learnt{number}", **common) for number in range(60)]
    assert asyncio.run(_train(ops_url)) == [1, 0]

    def size_of(event_id: str) -> int:
        of = [event_id]
        row = database.execute("select length(payload) from error_events where event_id = %s", of).fetchone()
        assert row is not None
        return row[0]

    late: list[str] = []

    def is_learnt() -> bool:
        late.append(sender.event("Learnt0", **common))
        return size_of(late[-1]) < size_of(early[0]) / 2

    until(is_learnt, 10)
    for event_id in (early[0], late[-1]):
        document = api.get(f"/api/admin/errors/events/{event_id}").raise_for_status().json()["document"]
        assert document["extra"]["frames"] == shape["exception"]


async def _train(url: str) -> list[int]:
    async with connect(url, "test") as connection:
        return [await train_due(connection) for _ in range(2)]
