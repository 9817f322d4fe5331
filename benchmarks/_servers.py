"""What several benchmarks need to start servers on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from opsbook.chapters import CHAPTERS
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.schema import apply_schema

ADMIN_TOKEN = "benchmark"


@contextmanager
def ops_database() -> Iterator[tuple[str, Path]]:
    """The address of an ops database of its own, and a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder / "home") as postgres:
            apply_schema(postgres.urls["ops"], CHAPTERS)
            yield postgres.urls["ops"], folder


@contextmanager
def control_plane(url: str, folder: Path) -> Iterator[httpx.Client]:
    """A client, with the admin token, of a control plane in a process of its own."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "opsbook", "serve", "--port", str(port)],
        env={
            **os.environ,
            "OPSBOOK_DATABASE_URL": url,
            "OPSBOOK_HOME": str(folder / "serve"),
            "ADMIN_TOKEN": ADMIN_TOKEN,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            wait_for(lambda: client.get("/api/livez").is_success)
            yield client
    finally:
        server.terminate()
        server.wait(10)


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition holds; a refused connection counts as not yet.

    Raises:
        AssertionError: It did not hold in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.02)
