"""Four processes with a hundred tasks each want one result: how many compute it, and who waits when it ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks._beside import figure
from opsbook import cached
from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import load_settings
from opsbook.performance.cache.process import process
from tests.redis_server import running_redis

PROCESSES = 4
TASKS = 100
COLD_ROUNDS = 10
COMPUTING_SECONDS = 0.1
TTL_SECONDS = 1.0
HAMMERING_SECONDS = 5.0
PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 5.0
"""So long that a busy machine is not taken for a dead Redis."""


def main() -> None:
    with running_redis() as server, workers(server.url) as processes:
        calls = [sum(each["misses"] for each in asked(processes, f"cold {number}")) for number in range(COLD_ROUNDS)]
        what = f"a cold key, {PROCESSES} processes × {TASKS} tasks: most calls in {COLD_ROUNDS} rounds"
        figure("stampede_cold", what, max(calls), "calls", 1)
        asked(processes, "warm")
        seen = asked(processes, "expiry")
        refreshed = sum(each["refreshes"] for each in seen)
        what = f"a result that ends every {TTL_SECONDS:g} s, {PROCESSES} processes × {TASKS} tasks"
        waited = sum(each["waits"] + each["misses"] for each in seen)
        figure("stampede_expiry_waiters", f"{what}: callers who waited, at {refreshed} renewals", waited, "callers", 0)
        slowest = max(each["slowest_milliseconds"] for each in seen)
        beside = f"computing takes {COMPUTING_SECONDS * 1000:.0f} ms"
        figure("stampede_expiry_slowest", f"{what}: slowest call", slowest, "ms", peer=beside)


@contextmanager
def workers(url: str) -> Iterator[Sequence[subprocess.Popen[str]]]:
    """Processes with the cached functions, which answer a line with a line."""
    command = [sys.executable, "-m", "benchmarks.stampede", "worker", url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        started: list[subprocess.Popen[str]] = []
        for _ in range(PROCESSES):
            process = stack.enter_context(subprocess.Popen(command, **pipes))
            stack.callback(process.kill)
            started.append(process)
        asked(started, "ready")
        yield started


def asked(processes: Sequence[subprocess.Popen[str]], command: str) -> list[dict[str, float]]:
    """What each says, after all were told."""
    for each in processes:
        assert each.stdin is not None
        print(command, file=each.stdin, flush=True)
    return [json.loads(each.stdout.readline()) for each in processes if each.stdout is not None]


@cached(ttl=60)
async def popular(_number: int) -> float:
    await asyncio.sleep(COMPUTING_SECONDS)
    return time.time()


@cached(ttl=TTL_SECONDS)
async def ending() -> float:
    await asyncio.sleep(COMPUTING_SECONDS)
    return time.time()


async def serve() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await done(line)), flush=True)


async def done(line: str) -> dict[str, float]:
    match line.split():
        case ["cold", number]:
            before = popular.statistics()
            await asyncio.gather(*(popular(int(number)) for _ in range(TASKS)))
            return {"misses": popular.statistics().misses - before.misses}
        case ["warm"]:
            await ending()
        case ["expiry"]:
            before = ending.statistics()
            slowest = max(await asyncio.gather(*(hammer() for _ in range(TASKS))))
            after = ending.statistics()
            counted = {name: getattr(after, name) - getattr(before, name) for name in ("misses", "waits", "refreshes")}
            return {**counted, "slowest_milliseconds": slowest * 1000}
        case _:
            pass
    return {}


async def hammer() -> float:
    """Call all the time; the seconds that the slowest call took."""
    ends_at, slowest = time.monotonic() + HAMMERING_SECONDS, 0.0
    while (began := time.monotonic()) < ends_at:
        await ending()
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(PAUSE_SECONDS)
    return slowest


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        link = RedisLink(sys.argv[2], patience_seconds=PATIENCE_SECONDS)
        process.configure(load_settings(redis_url=sys.argv[2], home=Path("/nonexistent")), link)
        asyncio.run(serve())
    else:
        main()
