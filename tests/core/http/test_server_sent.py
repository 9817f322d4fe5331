"""Server-sent events: who does not read costs little and holds up nobody; who is no longer known is sent away."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from opsbook.core.http import server_sent
from opsbook.core.http.server_sent import Events, event, event_stream

EVENT_BYTES = 65_536
READ_EVENTS = 800
PATIENCE_SECONDS = 20

pytestmark = pytest.mark.anyio


class Endless:
    """Tells as much as its readers take; knows how much that was of each."""

    def __init__(self) -> None:
        self.made: dict[str, int] = {}

    async def __call__(self, request: Request) -> Response:
        return event_stream(self._events(request.query_params["reader"]), known)

    async def _events(self, reader: str) -> Events:
        data = b"x" * EVENT_BYTES
        while True:
            self.made[reader] = self.made.get(reader, 0) + 1
            yield event("state", data, self.made[reader])
            await asyncio.sleep(0)  # as whoever waits for news does; else nobody would notice that the reader is gone


async def test_who_never_reads_costs_some_buffers_and_holds_up_nobody() -> None:
    endless = Endless()
    with listening(endless) as port:
        async with connected(port, "deaf", receive_buffer=4096), connected(port, "reading") as reading:
            await reading.readexactly(READ_EVENTS * EVENT_BYTES)
        # What it was sent lies in the buffers of both sockets and of the server; the system's may hold megabytes.
        assert 0 < endless.made["deaf"] < READ_EVENTS / 2


@pytest.mark.parametrize("farewell", [b"", event("signed-out", b"")])
async def test_who_is_no_longer_known_is_told_no_more(monkeypatch: pytest.MonkeyPatch, farewell: bytes) -> None:
    monkeypatch.setattr(server_sent, "HEARTBEAT_SECONDS", -1.0)
    ended = asyncio.Event()

    async def secrets() -> Events:
        try:
            yield event("secret", b"42")
        finally:
            ended.set()

    answer = event_stream(secrets(), unknown, farewell)
    assert b"".join([part async for part in answer.body_iterator if isinstance(part, bytes)]) == farewell
    assert ended.is_set()


async def test_there_is_a_comment_while_there_is_nothing_to_tell() -> None:
    async def silent() -> Events:
        yield None
        yield event("state", b"{}", 7)

    parts = [part async for part in event_stream(silent(), known).body_iterator]
    assert parts == [b": still here\n\n", b"event: state\nid: 7\ndata: {}\n\n"]


async def known() -> bool:
    return True


async def unknown() -> bool:
    return False


@contextmanager
def listening(endpoint: Endless) -> Iterator[int]:
    """A server in a thread; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", endpoint.__call__)])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        listener.close()


@asynccontextmanager
async def connected(port: int, name: str, receive_buffer: int | None = None) -> AsyncIterator[asyncio.StreamReader]:
    """A reader that has been answered; with a buffer of that size, one that asyncio does not read ahead for."""
    raw = socket.socket()
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=receive_buffer or 2**20)
        writer.write(f"GET /?reader={name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        try:
            yield reader
        finally:
            writer.transport.abort()
            # The loop must have its turn to do so before the server, in its thread, is waited for.
            with suppress(ConnectionError):
                await writer.wait_closed()
