"""`opsbook worker`: it says that it lives, does the periodic work, and stops when told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from opsbook.chapters import CHAPTERS
from opsbook.core.jobs import job_app
from opsbook.core.settings import load_settings
from tests.upping import until

STOPS_WITHIN_SECONDS = 6


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


def test_housekeeping_seals_the_audit(ops_url: str, database: psycopg.Connection) -> None:
    """The tasks themselves, run once: to wait for their minute would take a minute."""
    database.execute("select audit('test', 'test', 'to be sealed', null, null)")
    asyncio.run(run_once(ops_url, ("seal_audit", "tidy")))
    assert database.execute("select status::text from procrastinate_jobs where status <> 'succeeded'").fetchall() == []
    assert database.execute("select count(*) from security_audit_seals").fetchone() != (0,)


async def run_once(ops_url: str, names: tuple[str, ...]) -> None:
    app = job_app(ops_url, CHAPTERS)
    async with app.open_async():
        for name, task in app.tasks.items():
            if name.rpartition(".")[2] in names:
                await task.defer_async(timestamp=0)
        settings = load_settings(ops_database_url=ops_url)
        await app.run_worker_async(wait=False, install_signal_handlers=False, additional_context={"settings": settings})
