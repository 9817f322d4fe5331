"""What the intake promises while its server is killed and its database hangs or is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from opsbook.chapters import CHAPTERS
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.schema import apply_schema
from opsbook.core.settings import load_settings
from tests.debugging.sending import Sender, key_of, new_event
from tests.folders import open_folder
from tests.monitoring.stage import Databases
from tests.serving import serving
from tests.upping import free_port, until

SENDERS = 8
KILLS = 3


@contextmanager
def served(url: str, port: int, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A control plane in a process of its own, killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "opsbook", "serve", "--port", str(port)],
        env={**os.environ, "OPSBOOK_DATABASE_URL": url, "OPSBOOK_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


class Senders:
    """Send from several threads, each its next event once the last is answered; keep what was acknowledged."""

    def __init__(self, port: int, key: str) -> None:
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._address = f"http://127.0.0.1:{port}"
        self._key = key
        self._threads = [threading.Thread(target=self._run, args=[number]) for number in range(SENDERS)]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self._address, timeout=10) as client:
            sender = Sender(client, self._key)
            sent = 0
            while not self._stop.is_set():
                sent += 1
                event = new_event(f"Kind{number}x{sent // 50}")
                try:
                    if sender.send(("event", event)).status_code == 200:
                        self.acknowledged.append(event["event_id"])
                except httpx.TransportError:
                    time.sleep(0.02)


def test_no_acknowledged_event_is_lost_when_the_server_is_killed(ops_url: str, tmp_path: Path) -> None:
    port = free_port()
    with psycopg.connect(ops_url, autocommit=True) as database, Senders(port, key_of(database)) as senders:
        for _ in range(KILLS):
            before = len(senders.acknowledged)
            with served(ops_url, port, tmp_path):
                until(lambda before=before: len(senders.acknowledged) >= before + 200, 60)
    with psycopg.connect(ops_url, autocommit=True) as database:
        row = database.execute(
            "select count(*) from unnest(%s::uuid[]) a (id) where not exists ("
            "select from error_events where event_id = a.id)",
            [senders.acknowledged],
        ).fetchone()
        assert row == (0,)
        counted = database.execute(
            "select sum(events), (select count(*) from error_events) from ("
            "select events from error_issues union all select events from error_pending_counts)"
        ).fetchone()
    assert counted is not None
    assert counted[0] == counted[1] >= len(senders.acknowledged)


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    """Clusters of their own, because these tests freeze and kill them."""
    with open_folder() as folder, EmbeddedPostgres(folder / "home") as postgres:
        apply_schema(postgres.urls["ops"], CHAPTERS)
        both = Databases(postgres)
        yield both
        both.thaw()


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_while_the_database_is_away_senders_are_told_to_hold_back(
    databases: Databases, tmp_path: Path, how: str
) -> None:
    url = databases.urls["ops"]
    with psycopg.connect(url) as database:
        key = key_of(database)
    settings = load_settings(ops_database_url=url, secret_key="0" * 64, home=tmp_path)
    with serving(settings) as address, httpx.Client(base_url=address, timeout=30) as client:
        sender = Sender(client, key)
        sender.event(how)
        databases.freeze("ops") if how == "frozen" else databases.kill("ops")
        try:
            first = sender.send(("event", new_event(how)))
            began = time.monotonic()
            second = sender.send(("event", new_event(how)))
            waited = time.monotonic() - began
        finally:
            databases.thaw() if how == "frozen" else databases.start("ops")
        assert (first.status_code, second.status_code) == (503, 503)
        assert int(first.headers["Retry-After"]) >= 1
        assert first.headers["X-Sentry-Rate-Limits"].endswith("::project:unavailable")
        assert waited < 2, "refused at once, not after another attempt"
        until(lambda: sender.send(("event", new_event(how))).status_code == 200, 45)
        with psycopg.connect(url) as database:

            def lost() -> int:
                row = database.execute(
                    "select sum(items) from error_item_counts where outcome = 'unavailable'"
                ).fetchone()
                database.commit()
                return int(row[0] or 0) if row else 0

            until(lambda: lost() > 0, 15)
