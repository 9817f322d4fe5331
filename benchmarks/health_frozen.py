"""How fast health answers while both databases hang (their processes are stopped), beside a route that asks them."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from fastapi import FastAPI, Response
from sqlalchemy import create_engine, text

import opsbook
from opsbook.chapters import CHAPTERS
from opsbook.core.log import set_up_logging
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.schema import apply_schema

CALLS = 2000
CALLS_OF_THE_PEER = 5
AT_ONCE = 1000
TARGET_MILLISECONDS = 5.0
TARGET_AT_ONCE_MILLISECONDS = 1500.0


def main() -> None:
    """Freeze the databases of a real server and time what it says meanwhile."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder) / "home") as postgres:
            apply_schema(postgres.urls["ops"], CHAPTERS)
            with served(postgres.urls, Path(folder) / "home") as port, frozen(postgres):
                wait_for(lambda: b'"down"' in call(port, "/api/health"))
                health = [timed(port, "/api/health") for _ in range(CALLS)]
                detailed = [timed(port, "/api/monitoring/health") for _ in range(CALLS)]
                at_once = asyncio.run(all_at_once(port))
                peer = [timed(port, "/asks-the-database") for _ in range(CALLS_OF_THE_PEER)]
    beside = statistics.median(peer)
    what = "asking the database in the request, 1 s timeout"
    for name, path, measured in (("frozen", "/api/health", health), ("detailed", "/api/monitoring/health", detailed)):
        p99 = percentile(measured, 99)
        figure = {
            "name": f"health_{name}",
            "what": f"GET {path}, databases hung: p99 of {CALLS}",
            "value": round(p99, 3),
        }
        print_figure(
            {
                **figure,
                "target": TARGET_MILLISECONDS,
                "peer": f"{what}: {beside:.0f} ms",
                "ratio": round(beside / p99, 1),
            }
        )
    print_figure(
        {
            "name": "health_at_once",
            "what": f"GET /api/health, databases hung: slowest of {AT_ONCE} at once",
            "value": round(max(at_once), 1),
            "target": TARGET_AT_ONCE_MILLISECONDS,
        }
    )


def create_app() -> FastAPI:
    """A service with Opsbook in front, and with the usual health route of one's own."""
    set_up_logging("INFO")
    app = FastAPI()
    address = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(address, connect_args={"options": "-c statement_timeout=1000", "connect_timeout": 1})

    @app.get("/asks-the-database")
    async def asks() -> Response:
        def ask() -> None:
            with engine.connect() as connection:
                connection.execute(text("select 1"))

        try:
            await asyncio.wait_for(asyncio.to_thread(ask), 1.0)
        except TimeoutError:
            return Response("down", 503)
        return Response("ok")

    opsbook.install(app, pool=engine)
    return app


@contextmanager
def served(urls: dict[str, str], home: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.health_frozen:create_app"]
    named = {"DATABASE_URL": urls["service"], "OPSBOOK_DATABASE_URL": urls["ops"], "OPSBOOK_HOME": str(home)}
    server = subprocess.Popen(
        [*command, "--port", str(port), "--log-level", "warning"],
        env={**os.environ, **named},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: b'"connected"' in call(port, "/api/health"))
        yield port
    finally:
        server.kill()
        server.wait()


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    postmasters = [psutil.Process(server.process.pid) for server in postgres.servers if server.process]
    processes = [
        process for postmaster in postmasters for process in (postmaster, *postmaster.children(recursive=True))
    ]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(0.05)


def call(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def timed(port: int, path: str) -> float:
    """Milliseconds from opening a connection to having read the answer."""
    started = time.perf_counter()
    call(port, path)
    return (time.perf_counter() - started) * 1000


async def all_at_once(port: int) -> list[float]:
    async def one() -> float:
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert b'"status":"down"' in answer
        return (time.perf_counter() - started) * 1000

    return await asyncio.gather(*(one() for _ in range(AT_ONCE)))


def percentile(values: list[float], which: int) -> float:
    return statistics.quantiles(values, n=100)[which - 1]


def print_figure(figure: dict[str, object]) -> None:
    print(json.dumps({"unit": "ms", **figure}))


if __name__ == "__main__":
    main()
