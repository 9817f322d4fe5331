"""What one process holds of bodies is bounded, however many arrive and however they are packed."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from starlette.requests import Request
from starlette.types import Message

from opsbook.debugging.intake.body import ARRIVING_BYTES, MOST_BODY_BYTES, ROOM_BYTES, Room
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


async def trickled(room: Room, size_bytes: int, address: str | None = None) -> asyncio.Task[None]:
    """A body of which so much has arrived, and no end comes; the task that reads it."""
    arrived, waiting = asyncio.Event(), [{"type": "http.request", "body": bytes(size_bytes), "more_body": True}]

    async def receive() -> Message:
        if waiting:
            return waiting.pop()
        arrived.set()
        return await asyncio.Future()

    async def read() -> None:
        request = Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}, receive)
        async with room.body_of(request, address=address):
            raise AssertionError("it is not whole")

    reading = asyncio.create_task(read())
    reading.add_done_callback(lambda _: arrived.set())
    await arrived.wait()
    return reading


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


async def test_who_trickles_gives_way_to_who_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with room() as held:
        trickling = [await trickled(held, MOST_BODY_BYTES) for _ in range(ROOM_BYTES // MOST_BODY_BYTES)]
        with pytest.raises(Busy):
            async with held.body_of(request_of(bytes(MOST_BODY_BYTES))):
                pass
        monkeypatch.setattr("opsbook.debugging.intake.body.SLOW_SECONDS", 0.0)
        with pytest.raises(Busy):
            async with held.body_of(request_of(bytes(MOST_BODY_BYTES)), is_known=False):
                pass
        async with held.body_of(request_of(bytes(MOST_BODY_BYTES))) as welcome:
            assert len(welcome) == MOST_BODY_BYTES
            with pytest.raises(Busy):
                await trickling[0]
            assert not trickling[1].done(), "no more give way than must"
        for task in trickling[1:]:
            task.cancel()
        await asyncio.gather(*trickling, return_exceptions=True)


@pytest.mark.parametrize(
    ("one", "neighbour"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::2:1"), ("::ffff:192.0.2.1", "192.0.2.1")],
)
async def test_one_address_has_a_share_of_the_room(one: str, neighbour: str) -> None:
    async with room() as held:
        trickling = await trickled(held, MOST_BODY_BYTES, one)
        with pytest.raises(Busy):
            await (await trickled(held, ARRIVING_BYTES - MOST_BODY_BYTES + 1, neighbour))
        async with held.body_of(request_of(b"small"), address=neighbour) as body:
            assert body == b"small"
        async with held.body_of(request_of(bytes(MOST_BODY_BYTES)), address="192.0.2.7") as body:
            assert len(body) == MOST_BODY_BYTES
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)


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
