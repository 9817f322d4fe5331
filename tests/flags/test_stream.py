"""The stream of flags over HTTP: what it says to whom, and that nobody holds up another."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from opsbook.core.http import server_sent
from opsbook.core.settings import Settings
from opsbook.flags import Flags
from opsbook.flags.model import Flag
from opsbook.flags.ofrep.stream import changes
from opsbook.flags.service import FlagStream
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.unleash.features import FeatureWriter
from opsbook.flags.unleash.stream import states
from tests.conftest import ADMIN_TOKEN
from tests.flags.helpers import create, set_enabled
from tests.flags.sources import Scripted
from tests.serving import serving

CLIENTS = 50
PATH = "/api/flags/stream"
HEARD_WITHIN_SECONDS = 10.0


@dataclass
class Reader:
    """One open stream."""

    response: http.client.HTTPResponse

    def next(self) -> tuple[str, int, dict[str, Any]]:
        """The next event's kind, id and data."""
        fields: dict[bytes, bytes] = {}
        while line := self.response.readline().rstrip(b"\n"):
            name, _, value = line.partition(b": ")
            fields[name] = value
        return fields[b"event"].decode(), int(fields[b"id"]), json.loads(fields[b"data"])


@contextmanager
def reading(
    server: str, token: str = ADMIN_TOKEN, *, within: float = HEARD_WITHIN_SECONDS, **headers: str
) -> Iterator[Reader]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=within)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", PATH, headers={"Authorization": f"Bearer {token}", **sent})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Reader(response)
    finally:
        connection.close()


def test_it_begins_with_everything_and_goes_on_with_what_changes(server: str, database: psycopg.Connection) -> None:
    create(database, "streamed")
    with reading(server) as reader:
        kind, revision, data = reader.next()
        while "streamed" not in data["flags"]:  # the server may not have heard of it yet
            kind, revision, data = reader.next()
        assert kind in {"snapshot", "change"}
        assert data["revision"] == revision
        set_enabled(database, "streamed", enabled=False)
        kind, later, data = reader.next()
        assert (kind, later) == ("change", revision + 1)
        assert list(data["flags"]) == ["streamed"]
        assert data["flags"]["streamed"]["enabled"] is False
        database.execute("delete from feature_flags where name = 'streamed'")
        gone = {"revision": later + 1, "flags": {"streamed": None}, "segments": []}
        assert reader.next() == ("change", later + 1, gone)


def test_who_holds_the_present_state_is_sent_only_what_comes_after(server: str, database: psycopg.Connection) -> None:
    create(database, "resumed")
    with reading(server) as reader:
        _, held, data = reader.next()
        while "resumed" not in data["flags"]:
            _, held, data = reader.next()
    with reading(server, Last_Event_ID=str(held)) as reader:
        set_enabled(database, "resumed", enabled=False)
        kind, _, data = reader.next()
        assert (kind, list(data["flags"])) == ("change", ["resumed"])


@pytest.mark.parametrize("held", ["1", "0", "999999999", "9" * 400, "-1", "garbage", "", "²"])
def test_who_holds_anything_else_is_sent_everything(server: str, database: psycopg.Connection, held: str) -> None:
    database.execute("insert into feature_flags (name) values ('whole.a'), ('whole.b') on conflict do nothing")
    with reading(server, Last_Event_ID=held) as reader:
        kind, _, _ = reader.next()
        assert kind == "snapshot"


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic eDp5"])
def test_it_is_for_the_known_alone(anonymous: httpx.Client, authorization: str | None) -> None:
    answer = anonymous.get(PATH, headers={"Authorization": authorization} if authorization else {})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.anyio
async def test_fifty_clients_hear_and_one_that_never_reads_holds_up_none(
    server: str, database: psycopg.Connection
) -> None:
    """The deaf one's buffers are filled: each change sends 200 flags of 2 kB."""
    database.execute(
        "insert into feature_flags (name, description)"
        " select 'wide.' || n, repeat('x', 2000) from generate_series(1, 200) n"
    )
    create(database, "loud")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(connected(server, receive_buffer=4096))
        readers = [await stack.enter_async_context(connected(server)) for _ in range(CLIENTS)]
        for number in range(10):
            database.execute("update feature_flags set rollout_percentage = %s where name like 'wide.%%'", [number])
        set_enabled(database, "loud", enabled=False)
        async with asyncio.timeout(HEARD_WITHIN_SECONDS):
            await asyncio.gather(*(read_until(reader, b'"loud":{"name":"loud","enabled":false') for reader in readers))


@pytest.mark.anyio
async def test_who_reads_seldom_is_told_the_newest_state_and_none_between_is_kept() -> None:
    flags = Flags(Scripted())
    flags.receive(Snapshot.of(1, [Flag(name="busiest")]))
    stream, writer = FlagStream(flags), FeatureWriter()
    readers = (
        stream.events(None),
        changes(stream.snapshots(), held_revision=1),
        states(stream.snapshots(), lambda: writer.features(flags.snapshot, "")),
    )
    for reader in readers:
        await anext(reader)
    for revision in range(2, 1001):
        flags.receive(Snapshot.of(revision, [Flag(name="busiest", revision=revision)]))
    gc.collect()
    # Of other tests' snapshots some may live on: these alone have the flag.
    kept = [each for each in gc.get_objects() if isinstance(each, Snapshot) and "busiest" in each.flags]
    assert {each.revision for each in kept} <= {1, 1000}
    for reader in readers:
        assert b"\nid: 1000\n" in (await anext(reader) or b"")
        await reader.aclose()


def test_a_revoked_token_reads_on_no_longer(server: str, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_sent, "HEARTBEAT_SECONDS", 0.05)
    made = api.post("/api/admin/tokens", json={"name": "follower", "role": "viewer"}).json()
    with reading(server, made["token"]) as reader:
        reader.next()
        assert reader.response.readline() == b": still here\n"
        assert api.delete(f"/api/admin/tokens/{made['id']}").is_success
        while line := reader.response.readline():
            assert line in {b": still here\n", b"\n"}


def test_a_server_with_open_streams_stops_promptly(settings: Settings) -> None:
    with ExitStack() as stack:
        with serving(settings) as address:
            for _ in range(5):
                stack.enter_context(reading(address))
            started = time.monotonic()
        assert time.monotonic() - started < 3


def test_a_server_that_has_not_heard_its_database_says_nothing(settings: Settings) -> None:
    """An empty or remembered state must not replace the newer one of a reader."""
    unreachable = settings.model_copy(update={"ops_database_url": dead_url(settings), "home": settings.home / "new"})
    with serving(unreachable) as address, reading(address, within=2) as reader, pytest.raises(TimeoutError):
        reader.next()


@asynccontextmanager
async def connected(server: str, receive_buffer: int | None = None) -> AsyncIterator[asyncio.StreamReader]:
    raw = socket.socket()
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    address = urlsplit(server)
    await asyncio.get_running_loop().sock_connect(raw, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4096 if receive_buffer else 2**20)
    writer.write(request())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    try:
        yield reader
    finally:
        writer.close()


async def read_until(reader: asyncio.StreamReader, wanted: bytes) -> None:
    held = b""
    while wanted not in held:
        more = await reader.read(2**16)
        assert more, "the stream ended"
        held = held[-len(wanted) :] + more


def request() -> bytes:
    return f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n".encode()


def dead_url(settings: Settings) -> SecretStr:
    """The address of a database where nothing listens."""
    url = settings.require_url("ops")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return SecretStr(url.replace(f":{urlsplit(url).port}/", f":{port}/"))
