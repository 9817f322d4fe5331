"""How many errors a second one server process keeps, each committed before it is acknowledged, and in how much room.

Events of 10 kB with a hundred kinds of error, tags, users and a quota, from senders that keep their connections.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import orjson
import psycopg

from benchmarks._servers import free_port, wait_for
from opsbook.chapters import CHAPTERS
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.postgres.connect import connect
from opsbook.core.schema import apply_schema
from opsbook.debugging.errors.dictionaries import train_due

EVENT_BYTES = 10_000
WORDS = tuple(name for name in dir(str) + dir(socket) + dir(os) + dir(dict) if name.islower() and name[0] != "_")
"""What events are filled with: about as repetitive as source code and variables are."""
KINDS = 100
PEOPLE = 1_000
CONNECTIONS = 64
SECONDS = 10.0
PACED_PER_SECOND = 1_000
TARGET_MICROSECONDS = 1e6 / 1_500
TARGET_P99_MILLISECONDS = 50.0
TARGET_RATIO = 0.35


def main() -> None:
    """Send as fast as answers come, then at a pace; then weigh what is kept."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder / "home") as postgres:
            url = postgres.urls["ops"]
            apply_schema(url, CHAPTERS)
            key = prepare(url)
            with serving(url, folder) as (port, process):
                bodies = [event_of(kind) for kind in range(KINDS)]
                asyncio.run(load(port, key, bodies, 1.0))
                asyncio.run(learn(url))
                full = asyncio.run(load(port, key, bodies, SECONDS))
                paced = asyncio.run(load(port, key, bodies, SECONDS, PACED_PER_SECOND))
                memory = resident_megabytes(process.pid)
            kept, ratio = weigh(url)
    each = SECONDS / len(full) * 1e6
    assert kept >= len(full) + len(paced), "an acknowledged event is missing"
    what = f"errors of 10 kB: time for one, committed ({1e6 / each:,.0f} a second)"
    report("errors_ingest", what, each, "µs", TARGET_MICROSECONDS)
    p99 = sorted(paced)[int(len(paced) * 0.99)] * 1000
    pace = len(paced) / SECONDS
    what = f"99 of 100 are acknowledged within, at {pace:,.0f} a second"
    report("errors_ingest_p99", what, p99, "ms", TARGET_P99_MILLISECONDS)
    report("errors_stored", "bytes on disk, indexes included, for each byte sent", ratio, "", TARGET_RATIO)
    report("errors_memory", "memory of the server process after that", memory, "MB", None)


def prepare(url: str) -> str:
    """A project with a quota that is never reached; gives its key."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "update error_projects set events_per_minute = null, events_per_hour = 2000000000, events_per_day = null,"
            " megabytes_per_day = 2000000000"
        )
        row = connection.execute("select public_key from error_project_keys").fetchone()
        assert row is not None
        return str(row[0])


async def learn(url: str) -> None:
    """What the worker does every ten minutes; a second later every server knows."""
    async with connect(url, "benchmark") as connection:
        assert await train_due(connection) == 1
    await asyncio.sleep(1.5)


@contextmanager
def serving(url: str, folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A control plane in a process of its own that keeps every event."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "opsbook", "serve", "--port", str(port)],
        env={
            **os.environ,
            "OPSBOOK_DATABASE_URL": url,
            "OPSBOOK_HOME": str(folder / "serve"),
            "OPSBOOK_ERRORS_FULL_PER_HOUR": "2000000000",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: can_connect(port))
        yield port, server
    finally:
        server.terminate()
        server.wait(10)


def can_connect(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def event_of(kind: int) -> tuple[bytes, bytes]:
    """An event of one kind as the Python SDK sends it, before and after its id."""
    said = random.Random(kind)

    def words(number: int) -> str:
        return " ".join(said.choices(WORDS, k=number))

    frames = [
        {
            "module": f"shop.module_{kind % 7}.step_{number}",
            "function": f"handle_{kind}_{number}",
            "filename": f"shop/module_{kind % 7}/step_{number}.py",
            "abs_path": f"/srv/app/shop/module_{kind % 7}/step_{number}.py",
            "lineno": 10 + number,
            "in_app": number % 2 == 0,
            "pre_context": [words(5) for _ in range(5)],
            "context_line": words(5),
            "post_context": [words(5) for _ in range(5)],
            "vars": {"order": f"<Order {said.randrange(10**6)}>", "positions": [words(2) for _ in range(3)]},
        }
        for number in range(8)
    ]
    event = {
        "event_id": "@" * 32,
        "platform": "python",
        "level": "error",
        "environment": "production",
        "release": f"shop@1.{kind % 3}.0",
        "server_name": "web-3",
        "transaction": f"/orders/{kind % 20}",
        "user": {"id": "#" * 8},
        "tags": {"plan": "pro", "region": f"eu-{kind % 4}"},
        "contexts": {"trace": {"trace_id": uuid4().hex, "span_id": uuid4().hex[:16]}},
        "breadcrumbs": {"values": [{"category": "query", "message": words(6)} for _ in range(12)]},
        "exception": {"values": [{"type": f"Kind{kind}Error", "value": "'EUR'", "stacktrace": {"frames": frames}}]},
        "sdk": {"name": "sentry.python", "version": "2.0.0"},
    }
    event["extra"] = {"state": words(2_000)[: max(0, EVENT_BYTES - len(orjson.dumps(event)) - 30)]}
    before, _, after = orjson.dumps(event).partition(b"@" * 32)
    return before, after


async def load(
    port: int, key: str, bodies: list[tuple[bytes, bytes]], seconds: float, per_second: int | None = None
) -> list[float]:
    """Send on some connections, as fast as answers come or at a pace; the seconds that each answer took."""
    until = time.monotonic() + seconds
    pause = CONNECTIONS / per_second if per_second else 0.0
    senders = (one_connection(port, key, bodies, number, until, pause) for number in range(CONNECTIONS))
    return [taken for durations in await asyncio.gather(*senders) for taken in durations]


async def one_connection(
    port: int, key: str, bodies: list[tuple[bytes, bytes]], number: int, until: float, pause: float
) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    auth = f"X-Sentry-Auth: Sentry sentry_version=7, sentry_key={key}"
    durations: list[float] = []
    due = time.monotonic() + pause * number / CONNECTIONS
    while time.monotonic() < until:
        if pause:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        started, due = (due if pause else time.monotonic()), due + pause
        body = envelope(bodies[(number * 31 + len(durations)) % len(bodies)], len(durations) % PEOPLE)
        head = f"POST /api/1/envelope/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{auth}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert answer.startswith(b"http/1.1 200"), answer
        await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r")[0]))
        durations.append(time.monotonic() - started)
    writer.close()
    return durations


def envelope(parts: tuple[bytes, bytes], person: int) -> bytes:
    identifier = uuid4().hex.encode()
    after = parts[1].replace(b"#" * 8, b"%08d" % person, 1)
    return b'{"event_id":"%b"}\n{"type":"event"}\n%b%b%b' % (identifier, parts[0], identifier, after)


def weigh(url: str) -> tuple[int, float]:
    """Events that are kept, and bytes on disk for each byte of them."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "select count(*), sum(payload_bytes)::float8, (select sum(pg_total_relation_size(inhrelid))::float8"
            " from pg_inherits where inhparent = 'error_events'::regclass) from error_events"
        ).fetchone()
        assert row is not None
        return int(row[0]), row[2] / row[1]


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def report(name: str, what: str, value: float, unit: str, target: float | None) -> None:
    print(json.dumps({"name": name, "what": what, "value": round(value, 2), "unit": unit, "target": target}))


if __name__ == "__main__":
    main()
