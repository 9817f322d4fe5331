"""The kit in somebody's own service, run as they run it: plain uvicorn, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from opsbook.core.access.links import create_sign_in_link
from opsbook.core.postgres.cluster import EmbeddedPostgres
from tests.conftest import ADMIN_TOKEN
from tests.upping import free_port, until
from tests.web.person import Person

STARTS_WITHIN_SECONDS = 40
STOPS_WITHIN_SECONDS = 5
AUTHORIZED = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
SERVICE = """
from fastapi import FastAPI
import opsbook

app = FastAPI()
book = opsbook.install(app)
"""


@dataclass(frozen=True)
class Service:
    """One that runs."""

    process: subprocess.Popen[bytes]
    address: str

    def answers(self, path: str) -> int:
        """The status of a path, 0 while nothing listens."""
        assert self.process.poll() is None, "it ended"
        try:
            return httpx.get(self.address + path, headers=AUTHORIZED, timeout=10).status_code
        except httpx.TransportError:
            return 0


Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the service on given databases; ended after the test."""
    (tmp_path / "main.py").write_text(SERVICE)
    with ExitStack() as stack:
        yield lambda **databases: stack.enter_context(_running(tmp_path, databases))


@contextmanager
def _running(folder: Path, databases: dict[str, str]) -> Iterator[Service]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--log-level", "warning"],
        cwd=folder,
        env={**os.environ, **databases, "ADMIN_TOKEN": ADMIN_TOKEN, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield Service(process, f"http://127.0.0.1:{port}")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_open_streams_do_not_keep_it_from_stopping(
    start: Start, new_ops_database: Callable[[], str], how: signal.Signals
) -> None:
    """Uvicorn waits, without limit, for every connection to end."""
    ops_url = new_ops_database()
    service = start(OPSBOOK_DATABASE_URL=ops_url)
    until(lambda: service.answers("/api/readyz") == 200, STARTS_WITHIN_SECONDS)
    owner = Person(service.address).join(create_sign_in_link(ops_url), "owner@example.org")
    session = {"Cookie": "; ".join(f"{name}={value}" for name, value in owner.cookies.items())}
    lines: list[Iterator[str]] = []  # kept, for httpx hangs up when one is dropped
    with ExitStack() as stack:
        for path, headers in (("/api/flags/stream", AUTHORIZED), ("/ops/live", session)):
            stream = stack.enter_context(httpx.stream("GET", service.address + path, headers=headers, timeout=10))
            lines.append(stream.iter_lines())
            next(lines[-1])
        service.process.send_signal(how)
        service.process.wait(STOPS_WITHIN_SECONDS)


def test_two_lines_are_enough_on_an_empty_database(start: Start, empty_database: str) -> None:
    service = start(OPSBOOK_DATABASE_URL=empty_database, DATABASE_URL=empty_database)
    until(lambda: service.answers("/api/readyz") == 200, STARTS_WITHIN_SECONDS)
    assert service.answers("/api/admin/feature-flags") == 200


def test_one_database_for_both_keeps_the_services_tables_apart(
    start: Start, empty_database: str, clusters: EmbeddedPostgres
) -> None:
    """What a migration creates without naming a schema belongs to the service, not among ours."""
    # Not as the role opsbook, whose own name Postgres takes for a schema's.
    url = make_conninfo(clusters.superuser_url("ops"), dbname=empty_database.rpartition("/")[2])
    service = start(OPSBOOK_DATABASE_URL=url, DATABASE_URL=url)
    until(lambda: service.answers("/api/readyz") == 200, STARTS_WITHIN_SECONDS)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table orders ()")
        assert connection.execute("select to_regclass('public.orders') is not null").fetchone() == (True,)
