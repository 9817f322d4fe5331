"""The server is killed again and again while events come: none that was acknowledged is lost, or counted twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from benchmarks._servers import free_port, ops_database
from benchmarks.errors_ingest import envelope, event_of
from opsbook.core.postgres.connect import connect
from opsbook.debugging.errors.counting import count_pending

KILLS = 20
SENDERS = 16
KINDS = 20
LIVED_SECONDS = (0.5, 3.0)
"""Of a server, once it has acknowledged its first event."""


def main() -> int:
    """Kill, and tell what is missing; 1 if anything is."""
    with ops_database() as (url, folder):
        acknowledged = asyncio.run(send_through_kills(url, folder))
        failures = missing(url, acknowledged)
    print(f"{KILLS} kills, {len(acknowledged):,} events acknowledged")
    print("\n".join(failures) or "none lost, none counted twice")
    return 1 if failures else 0


async def send_through_kills(url: str, folder: Path) -> list[str]:
    """Senders that never rest, and servers that never last; the ids of the events that were acknowledged."""
    with psycopg.connect(url, autocommit=True) as database:
        row = database.execute("select public_key from error_project_keys").fetchone()
        assert row is not None
    acknowledged: list[str] = []
    port, ending = free_port(), asyncio.Event()
    bodies = [event_of(kind) for kind in range(KINDS)]
    senders = [asyncio.create_task(sender(port, row[0], bodies, acknowledged, ending)) for _ in range(SENDERS)]
    for number in range(KILLS):
        before = len(acknowledged)
        server = start(url, folder, port)
        deadline = time.monotonic() + 60
        while len(acknowledged) == before:
            assert time.monotonic() < deadline, "nothing is acknowledged"
            await asyncio.sleep(0.05)
        await asyncio.sleep(random.uniform(*LIVED_SECONDS))
        server.send_signal(signal.SIGKILL)
        server.wait()
        print(f"kill {number + 1}: {len(acknowledged) - before:,} more acknowledged", flush=True)
    ending.set()
    await asyncio.gather(*senders)
    return acknowledged


def start(url: str, folder: Path, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "opsbook", "serve", "--port", str(port)],
        env={**os.environ, "OPSBOOK_DATABASE_URL": url, "OPSBOOK_HOME": str(folder / "serve"),
             "OPSBOOK_ERRORS_FULL_PER_HOUR": "2000000000"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def sender(
    port: int, key: str, bodies: list[tuple[bytes, bytes]], acknowledged: list[str], ending: asyncio.Event
) -> None:
    """Send one event after the other, each again never: what was not answered may or may not be kept."""
    sent = 0
    while not ending.is_set():
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while not ending.is_set():
                sent += 1
                body = envelope(random.choice(bodies), sent)
                head = (
                    f"POST /api/1/envelope/?sentry_key={key} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                answer = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r")[0]))
                if answer.startswith(b"http/1.1 200"):
                    acknowledged.append(body[13:45].decode())
        await asyncio.sleep(0.05)


def missing(url: str, acknowledged: list[str]) -> list[str]:
    """What is not there, and counts that are not those of the events."""
    asyncio.run(count_what_is_left(url))
    with psycopg.connect(url, autocommit=True) as database:
        lost = database.execute(
            "select count(*) from unnest(%s::uuid[]) a (id) where not exists ("
            "select from error_events where event_id = a.id)",
            [acknowledged],
        ).fetchone()
        counts = database.execute(
            "select (select count(*) from error_events), (select sum(events)::bigint from error_issues),"
            " (select sum(events)::bigint from error_group_minutes)"
        ).fetchone()
    assert lost is not None and counts is not None
    failures = [f"{lost[0]:,} acknowledged events are lost"] if lost[0] else []
    if len(set(counts)) > 1:
        failures.append(f"{counts[0]:,} events are kept, {counts[1]:,} are counted, {counts[2]:,} in trend lines")
    return failures


async def count_what_is_left(url: str) -> None:
    """What the worker does every minute."""
    async with connect(url, "soak") as connection:
        wait_until = time.monotonic() + 30
        while await count_pending(connection):
            assert time.monotonic() < wait_until, "something stays pending"
            await asyncio.sleep(0.1)
