"""`opsbook worker`: it says that it lives, does the periodic work, and stops when told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from opsbook.core.settings import Settings
from tests.upping import until
from tests.working import run_tasks

STOPS_WITHIN_SECONDS = 6
HOUSEKEEPING = tuple(f"core.jobs.{task}" for task in ("seal_audit", "make_partitions", "tidy"))


@pytest.fixture
def worker(ops_url: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "opsbook", "worker"],
        env={**os.environ, "OPSBOOK_DATABASE_URL": ops_url, "OPSBOOK_HOME": "/nonexistent", "PYTHONPATH": "src"},
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def test_it_gives_signs_of_life_and_stops_when_told(
    worker: subprocess.Popen[bytes], database: psycopg.Connection
) -> None:
    def beats() -> bool:
        assert worker.poll() is None
        return database.execute("select from procrastinate_workers").fetchone() is not None

    until(beats, 30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(STOPS_WITHIN_SECONDS) == 0
    assert database.execute("select from procrastinate_workers").fetchone() is None


def test_housekeeping_seals_the_audit_and_makes_its_months(
    settings: Settings, database: psycopg.Connection, superuser: psycopg.Connection
) -> None:
    database.execute("select audit('test', 'test', 'to be sealed', null, null)")
    superuser.execute(f"drop table {newest_month(database)}".encode())
    left = newest_month(database)
    run_tasks(settings, *HOUSEKEEPING)
    # A minute that turns meanwhile may leave more to do, of which none was asked for here.
    done = dict(
        database.execute("""
        select distinct on (task_name) substring(task_name from 'core.jobs.*$'), status::text
        from procrastinate_jobs where status <> 'todo' order by task_name, status = 'succeeded'
    """).fetchall()
    )
    assert {name: done.get(name) for name in HOUSEKEEPING} == dict.fromkeys(HOUSEKEEPING, "succeeded")
    assert database.execute("select count(*) from security_audit_seals").fetchone() != (0,)
    assert newest_month(database) > left


def newest_month(database: psycopg.Connection) -> str:
    row = database.execute(
        "select max(relname) from pg_class where relname ~ '^security_audit_[0-9]{4}_[0-9]{2}$'"
    ).fetchone()
    assert row is not None
    return row[0]
