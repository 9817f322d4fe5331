"""How long until each of eight worker processes obeys a new block amid 100,000, or a changed rate limit.

Time runs from when the statement is sent until the slowest process acts by it; both clocks are this machine's.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import psycopg
from starlette.types import Scope

from benchmarks._beside import figure
from benchmarks._servers import wait_for
from benchmarks.blocked_networks import NETWORKS, insert_blocks
from opsbook.chapters import CHAPTERS
from opsbook.core.bus import Bus
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.schema import apply_schema
from opsbook.performance import AddressBlocks, LimitRegister, RateLimit, RateLimits

WORKERS = 8
CHANGES = 50
PAUSE_SECONDS = (0.05, 0.1)
LOOK_SECONDS = 0.001
LIMIT = 1000
TARGET_MILLISECONDS = 250.0

Moments: TypeAlias = Sequence[int]
"""Of each change, in nanoseconds since 1970."""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder / "home") as postgres:
            url = postgres.urls["ops"]
            apply_schema(url, CHAPTERS)
            insert_blocks(url, random.Random(4))
            with psycopg.connect(url, autocommit=True) as connection, workers(url) as processes:
                blocked = changed(lambda number: connection.execute(BLOCK, [f"{address(number)}/32"]))
                limited = changed(lambda number: connection.execute(SET_LIMIT, [LIMIT + number]))
                seen = [seen_by(process) for process in processes]
    report("block", f"a new block amid {NETWORKS:,}", blocked, [blocks for blocks, _ in seen])
    report("limit", "a changed rate limit", limited, [limits for _, limits in seen])


BLOCK = "insert into address_blocks (network) values (%s)"
SET_LIMIT = "update rate_limits set per_minute = %s where policy = 'default'"


def changed(change: Callable[[int], object]) -> Moments:
    """Make the changes; the moments at which their statements were sent."""
    moments: list[int] = []
    for number in range(1, CHANGES + 1):
        moments.append(time.time_ns())
        change(number)
        time.sleep(random.uniform(*PAUSE_SECONDS))
    return moments


def report(name: str, what: str, made: Moments, seen: Sequence[Moments]) -> None:
    slowest = [(max(each) - moment) / 1e6 for moment, *each in zip(made, *seen, strict=True)]
    what = f"SQL → {what} obeyed by each of {WORKERS} processes, {CHANGES} changes"
    figure(f"obeyed_{name}_p50", f"{what}: p50", statistics.median(slowest), "ms")
    figure(f"obeyed_{name}_max", f"{what}: max", max(slowest), "ms", TARGET_MILLISECONDS)


@contextmanager
def workers(url: str) -> Iterator[Sequence[subprocess.Popen[str]]]:
    """Processes that have read the table, while the context lasts."""
    command = [sys.executable, "-m", "benchmarks.levers_obeyed", "worker", url]
    with ExitStack() as stack:
        started: list[subprocess.Popen[str]] = []
        for _ in range(WORKERS):
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            started.append(process)
        for process in started:
            assert line_of(process) == "ready\n"
        yield started


def seen_by(process: subprocess.Popen[str]) -> tuple[Moments, Moments]:
    blocks, limits = json.loads(line_of(process))
    return blocks, limits


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def worker(url: str) -> None:
    """Follow the tables as an installed service does, and tell when each change was first acted by."""
    bus = Bus(url)
    blocks = AddressBlocks(url, bus)
    limits = RateLimits([RateLimit("default", per_minute=LIMIT)])
    LimitRegister(limits, bus)
    blocks.start()
    wait_for(lambda: len(blocks.networks) == NETWORKS)
    print("ready", flush=True)
    print(json.dumps(asyncio.run(noticed(blocks, limits))), flush=True)
    blocks.close()
    bus.stop()


async def noticed(blocks: AddressBlocks, limits: RateLimits) -> tuple[Moments, Moments]:
    blocked: list[int] = []
    limited: list[int] = []
    while len(blocked) < CHANGES or len(limited) < CHANGES:
        if len(blocked) < CHANGES and blocks.refuses([address(len(blocked) + 1)]):
            blocked.append(time.time_ns())
        if len(limited) < CHANGES and await limit_in_force(limits) > LIMIT + len(limited):
            limited.append(time.time_ns())
        await asyncio.sleep(LOOK_SECONDS)
    return blocked, limited


async def limit_in_force(limits: RateLimits) -> int:
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "client": ("127.0.0.1", 1), "headers": []}
    verdict = await limits.check(scope, limits.everywhere)
    return verdict.items[0].window.limit


def address(number: int) -> str:
    """What the change of that number blocks."""
    return f"203.0.113.{number}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2])
    else:
        main()
