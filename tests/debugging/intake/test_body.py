"""What one process holds of bodies is bounded, however many arrive and however they are packed."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from starlette.requests import Request
from starlette.types import Message

from opsbook.debugging.intake.body import MOST_BODY_BYTES, ROOM_BYTES, Room
from opsbook.debugging.intake.refusals import Busy
from opsbook.debugging.protocol.errors import Malformed, TooLarge

pytestmark = pytest.mark.anyio


def request_of(*chunks: bytes, **headers: str) -> Request:
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return waiting.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": raw}, receive)


@asynccontextmanager
async def room() -> AsyncIterator[Room]:
    made = Room()
    yield made
    assert made.held_bytes == 0
    made.close()


async def test_a_body_is_gathered_and_unpacked() -> None:
    packed = gzip.compress(b"hello" * 1000)
    async with room() as held, held.body_of(request_of(packed[:7], packed[7:], content_encoding="gzip")) as body:
        assert body == b"hello" * 1000
        assert held.held_bytes == 5000


async def test_what_unpacks_to_much_is_unpacked_beside_the_event_loop() -> None:
    async with room() as held:
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        async with held.body_of(request_of(gzip.compress(bytes(8 * 1024 * 1024)), content_encoding="gzip")) as body:
            assert len(body) == 8 * 1024 * 1024
            assert turns, "the loop went on meanwhile"


async def test_strangers_leave_room_for_those_whose_key_is_known() -> None:
    body = bytes(MOST_BODY_BYTES)
    async with room() as held, held.body_of(request_of(body), is_known=False):
        with pytest.raises(Busy):
            async with held.body_of(request_of(body), is_known=False):
                pass
        async with held.body_of(request_of(body)) as welcome:
            assert len(welcome) == MOST_BODY_BYTES


async def test_a_full_room_refuses_until_somebody_leaves() -> None:
    body = bytes(MOST_BODY_BYTES)
    async with room() as held:
        async with AsyncExitStack() as stack:
            for _ in range(ROOM_BYTES // MOST_BODY_BYTES):
                await stack.enter_async_context(held.body_of(request_of(body)))
            with pytest.raises(Busy):
                async with held.body_of(request_of(body)):
                    pass
        async with held.body_of(request_of(body)) as again:
            assert len(again) == MOST_BODY_BYTES


@pytest.mark.parametrize(
    ("chunks", "headers", "refusal"),
    [
        ([b"x"], {"content_length": str(MOST_BODY_BYTES + 1)}, TooLarge),
        ([b"x"], {"content_length": "9" * 400}, TooLarge),
        ([bytes(MOST_BODY_BYTES), b"x"], {}, TooLarge),
        ([gzip.compress(bytes(MOST_BODY_BYTES + 1))], {"content_encoding": "gzip"}, TooLarge),
        ([b"not gzip"], {"content_encoding": "gzip"}, Malformed),
    ],
)
async def test_what_is_too_large_or_broken_leaves_nothing_behind(
    chunks: list[bytes], headers: dict[str, str], refusal: type[Exception]
) -> None:
    async with room() as held:
        with pytest.raises(refusal):
            async with held.body_of(request_of(*chunks, **headers)):
                pass
