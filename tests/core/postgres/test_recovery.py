"""Crashes: whatever is killed, the next start recovers by itself and loses nothing that was committed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.supervision.strays import still_alive

OWNER = """
import sys, time
from pathlib import Path
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.supervision.strays import still_alive
postgres = EmbeddedPostgres(Path(sys.argv[1]))
postgres.start()
print(*(server.process.pid for server in postgres.servers), flush=True)
time.sleep(300)
"""


def remember(postgres: EmbeddedPostgres, value: int) -> None:
    with psycopg.connect(postgres.urls["ops"], autocommit=True) as connection:
        connection.execute("create table if not exists remembered (value int)")
        connection.execute("insert into remembered values (%s)", (value,))


def remembered(postgres: EmbeddedPostgres) -> list[int]:
    with psycopg.connect(postgres.urls["ops"], autocommit=True) as connection:
        return [row[0] for row in connection.execute("select value from remembered order by value")]


def server_pid(postgres: EmbeddedPostgres) -> int:
    process = postgres.servers[0].process
    assert process
    return process.pid


@pytest.fixture
def owner(postgres: EmbeddedPostgres) -> Callable[[], tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """Runs the shared home's clusters under another process, which the test may kill."""

    def run() -> tuple[subprocess.Popen[str], list[psutil.Process]]:
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(postgres.home.path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        with process.stdout:
            return process, [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]

    return run


def test_server_killed(postgres: EmbeddedPostgres) -> None:
    remember(postgres, 1)
    os.kill(server_pid(postgres), signal.SIGKILL)
    postgres.servers[0].start()
    postgres.servers[0].wait_until_ready()
    assert 1 in remembered(postgres)


def test_server_killed_while_a_backend_is_frozen(postgres: EmbeddedPostgres) -> None:
    remember(postgres, 2)
    with psycopg.connect(postgres.urls["ops"]) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        backend.suspend()
        os.kill(server_pid(postgres), signal.SIGKILL)
        postgres.servers[0].start()
        postgres.servers[0].wait_until_ready()
        assert not still_alive([backend], seconds=0)
        connection.close()
    assert 2 in remembered(postgres)


def test_servers_end_with_the_process_that_started_them(
    postgres: EmbeddedPostgres, owner: Callable[[], tuple[subprocess.Popen[str], list[psutil.Process]]]
) -> None:
    postgres.stop()
    process, servers = owner()
    process.kill()
    process.wait()
    assert not still_alive(servers, seconds=10)
    postgres.start()
    assert remembered(postgres)


def test_servers_left_running_are_stopped_by_the_next_start(
    postgres: EmbeddedPostgres, owner: Callable[[], tuple[subprocess.Popen[str], list[psutil.Process]]]
) -> None:
    postgres.stop()
    process, servers = owner()
    for server in servers:
        server.suspend()  # It does not hear that its owner died.
    process.kill()
    process.wait()
    said: list[str] = []
    with EmbeddedPostgres(postgres.home.path, said.append) as again:
        assert not still_alive(servers, seconds=0)
        assert remembered(again)
    assert sum("left over" in line for line in said) == 2
    postgres.start()


@pytest.mark.parametrize(
    "content", [f"{os.getppid()}\n/elsewhere\n", "", "garbage"], ids=["reused", "empty", "garbage"]
)
def test_a_pid_file_that_misleads_is_put_aside(postgres: EmbeddedPostgres, content: str) -> None:
    postgres.stop()
    (postgres.servers[0].data / "postmaster.pid").write_text(content)
    postgres.start()
    assert remembered(postgres)


def test_a_creation_cut_short_is_done_again(folder: Path) -> None:
    half = folder / "home" / "postgres" / "ops.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder / "home") as postgres:
        assert not half.exists()
        remember(postgres, 3)
