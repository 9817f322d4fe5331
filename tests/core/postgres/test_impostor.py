"""A program that listens where an embedded cluster did, and asks for the password in clear, does not get it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from opsbook.core.errors import Unavailable
from opsbook.core.postgres.connect import connect, guarded, make_pool
from opsbook.core.postgres.home import PORTS
from opsbook.core.schema import apply_schema
from opsbook.database.migrations import apply_pending
from opsbook.monitoring.probe import DatabaseProbe

PASSWORD = "told-to-nobody"
PASSWORD_PLEASE = b"R" + struct.pack("!ii", 8, 3)
"""AuthenticationCleartextPassword of Postgres' message formats."""


class Impostor:
    """It keeps what it is told after it asked."""

    def __init__(self, listener: socket.socket) -> None:
        self.told = b""
        self.asked = 0
        self._listener = listener
        self.url = f"postgresql://opsbook:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/ops?sslmode=disable"

    def run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(ConnectionError):
                    client.recv(4096)
                    self.asked += 1
                    client.sendall(PASSWORD_PLEASE)
                    self.told += client.recv(4096)


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    with _listener() as listener:
        impostor = Impostor(listener)
        thread = threading.Thread(target=impostor.run)
        thread.start()
        yield impostor
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        assert not thread.is_alive()


def _listener() -> socket.socket:
    for port in PORTS:
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    raise AssertionError("no port is free")


async def one_connection(url: str) -> None:
    async with connect(url, "tests"):
        pass


async def a_pool(url: str) -> None:
    async with make_pool(url, "tests") as pool:
        await pool.wait(timeout=1)


@pytest.mark.parametrize(
    "use",
    [
        lambda url: asyncio.run(one_connection(url)),
        lambda url: asyncio.run(a_pool(url)),
        lambda url: asyncio.run(DatabaseProbe(url)()),
        lambda url: apply_schema(url, ()),
        lambda url: apply_pending(url, Path("nowhere")),
    ],
    ids=["connection", "pool", "probe", "schema", "migrations"],
)
def test_it_learns_nothing(impostor: Impostor, use: Callable[[str], None]) -> None:
    with pytest.raises((Unavailable, psycopg.OperationalError)):
        use(impostor.url)
    assert impostor.asked
    assert PASSWORD.encode() not in impostor.told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:b@127.0.0.1:5432/ops?sslmode=disable",
        "postgresql://a:b@127.0.0.1:15432/ops",
        "postgresql://a:b@db.example.org:15432/ops?sslmode=disable",
        "postgresql://a:b@127.0.0.1:15432/ops?sslmode=disable&require_auth=md5",
        "host=127.0.0.1 port=15432",
    ],
)
def test_other_databases_choose_their_own_way_to_sign_in(url: str) -> None:
    assert guarded(url) == url
