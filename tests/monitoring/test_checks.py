"""The standard checks, each against the real thing or, for Supabase, a server in its place."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from shutil import which

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from opsbook.chapters import CHAPTERS
from opsbook.core.schema import apply_schema
from opsbook.monitoring.health import Overall, Status
from opsbook.monitoring.monitor import HealthMonitor
from tests.monitoring.stage import Databases, Served, served, until

pytestmark = pytest.mark.anyio

REDIS_SERVER = os.environ.get("REDIS_SERVER") or which("redis-server")


def detail(here: Served, name: str) -> str | None:
    return next(check.detail for check in here.monitor.report().checks if check.name == name)


async def test_the_databases_say_their_version(databases: Databases) -> None:
    async with served(**databases.settings) as here:
        assert (detail(here, "database") or "").startswith("PostgreSQL 18.")
        assert here.status("ops_database") is Status.OK


async def test_an_ops_database_without_our_tables_warns_until_they_are_there(databases: Databases) -> None:
    with psycopg.connect(databases.urls["ops"], autocommit=True) as connection:
        connection.execute("drop schema opsbook cascade; create schema opsbook")
    async with served(**databases.settings) as here:
        assert here.status("ops_database") is Status.WARN
        assert (detail(here, "ops_database") or "").endswith("without the table opsbook.schema_files")
        apply_schema(databases.urls["ops"], CHAPTERS)
        await until(lambda: here.status("ops_database") is Status.OK, 2)


async def test_what_is_not_configured_is_no_fault(databases: Databases) -> None:
    async with served(database_url=databases.urls["service"]) as here:
        for name in ("ops_database", "worker", "redis", "supabase"):
            assert here.status(name) is Status.NOT_CONFIGURED, name
        assert here.monitor.report().status is Overall.OK


async def test_an_exhausted_pool_warns_until_somebody_gives_back() -> None:
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=1)
    monitor = HealthMonitor()
    monitor.watch_pool(engine)
    async with served(monitor) as here:
        assert here.status("pool") is Status.OK
        with engine.connect():
            with engine.connect():
                await until(lambda: here.status("pool") is Status.WARN, 2)
                assert (detail(here, "pool") or "").startswith("exhausted: 2 of 2 connections are out")
                answer = await here.client.get("/api/monitoring/health")
                assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
                assert answer.json()["pool"] == {
                    "pool_size": 1,
                    "max_overflow": 1,
                    "checked_out": 2,
                    "checked_in": 0,
                    "overflow": 1,
                    "capacity": 2,
                    "utilization": 1.0,
                    "exhausted": True,
                }
            await until(lambda: here.status("pool") is Status.OK, 2)
    engine.dispose()


async def test_a_migration_not_applied_warns(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20300101000000_first.sql").write_text("select 1;")
    (tmp_path / "backend").mkdir()
    monkeypatch.chdir(tmp_path / "backend")  # the runbook starts the service from there
    async with served(**databases.settings) as here:
        assert here.status("migrations") is Status.WARN
        assert detail(here, "migrations") == "1 not applied: 20300101000000_first.sql"
        assert (await here.client.get("/api/health")).json()["status"] == "degraded"
    with psycopg.connect(databases.urls["service"]) as connection:
        connection.execute("create schema if not exists supabase_migrations")
        connection.execute(
            "create table if not exists supabase_migrations.schema_migrations"
            " (version text primary key, statements text[], name text)"
        )
        connection.execute("insert into supabase_migrations.schema_migrations values ('20300101000000')")
    async with served(**databases.settings) as here:
        assert here.status("migrations") is Status.OK


async def test_the_worker_is_known_by_its_heartbeat(databases: Databases) -> None:
    with ops_tables(databases) as connection:
        async with served(**databases.settings) as here:
            assert here.status("worker") is Status.NOT_CONFIGURED
        connection.execute("insert into procrastinate_workers (last_heartbeat) values (now() - interval '12 s')")
        async with served(**databases.settings) as here:
            assert here.status("worker") is Status.OK
        connection.execute("update procrastinate_workers set last_heartbeat = now() - interval '31 s'")
        async with served(**databases.settings) as here:
            assert here.status("worker") is Status.WARN
            assert detail(here, "worker") == "the last sign of life is 31 s old"


async def test_work_that_lies_waiting_without_a_worker_warns(databases: Databases) -> None:
    with ops_tables(databases) as connection:
        connection.execute(
            "insert into procrastinate_jobs (queue_name, task_name) values ('default', 'nobody_takes_this')"
        )
        async with served(**databases.settings) as here:
            assert here.status("worker") is Status.NOT_CONFIGURED
        connection.execute("update procrastinate_events set at = now() - interval '31 s'")
        async with served(**databases.settings) as here:
            assert here.status("worker") is Status.WARN


async def test_a_worker_that_stopped_in_order_is_missed(databases: Databases) -> None:
    with ops_tables(databases) as connection:
        connection.execute(
            "insert into procrastinate_periodic_defers (task_name, defer_timestamp) values ('core:tidy', 0)"
        )
        async with served(**databases.settings) as here:
            assert here.status("worker") is Status.WARN
            assert detail(here, "worker") == "no worker runs; start one with `opsbook worker`"


async def test_redis_is_noticed_when_it_goes_and_comes_back(databases: Databases, tmp_path: Path) -> None:
    port = free_port()
    server = start_redis(port, tmp_path)
    try:
        async with served(**databases.settings, redis_url=f"redis://127.0.0.1:{port}/0") as here:
            await until(lambda: here.status("redis") is Status.OK, 3)
            server.kill()
            server.wait()
            await until(lambda: here.status("redis") is Status.DOWN, 2)
            assert here.monitor.report().status is Overall.DEGRADED
            server = start_redis(port, tmp_path)
            await until(lambda: here.status("redis") is Status.OK, 3)
    finally:
        server.kill()
        server.wait()


async def test_supabase_is_asked_with_its_key(databases: Databases) -> None:
    async with supabase_in_place() as (url, received, answers):
        settings = {**databases.settings, "supabase_url": url + "/", "supabase_service_role_key": "key-of-supabase"}
        async with served(**settings) as here:
            assert (await here.client.get("/api/health")).json()["supabase"] == "connected"
            assert received[0].startswith("GET /auth/v1/health HTTP/1.1\r\n")
            assert "apikey: key-of-supabase\r\n" in received[0]
            answers[:] = ["401 Unauthorized"]
            await until(lambda: here.status("supabase") is Status.DOWN, 4)
            answer = (await here.client.get("/api/health")).json()
            assert (answer["supabase"], answer["status"]) == ("disconnected", "degraded")
            assert "SUPABASE_SERVICE_ROLE_KEY" in (detail(here, "supabase") or "")
            assert "key-of-supabase" not in repr(here.monitor.report())


@contextmanager
def ops_tables(databases: Databases) -> Iterator[psycopg.Connection]:
    """The ops database as if no worker had ever run on it."""
    forget = "truncate procrastinate_workers, procrastinate_jobs, procrastinate_periodic_defers cascade"
    with psycopg.connect(databases.urls["ops"], autocommit=True) as connection:
        connection.execute(forget)
        yield connection
        connection.execute(forget)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_redis(port: int, folder: Path) -> subprocess.Popen[bytes]:
    assert REDIS_SERVER is not None, "`make test` brings a redis-server; REDIS_SERVER names one"
    command = [REDIS_SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@asynccontextmanager
async def supabase_in_place() -> AsyncIterator[tuple[str, list[str], list[str]]]:
    """A server at Supabase's place: its address, the heads of the requests it got, and what it answers."""
    received: list[str] = []
    answers = ["200 OK"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {answers[0]}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received, answers
