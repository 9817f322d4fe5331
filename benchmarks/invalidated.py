"""How long until another process no longer gives out a result that was invalidated.

Time runs from when `invalidate` is called until the other process gives a new result; both clocks are this machine's.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._beside import figure
from opsbook import cached
from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import load_settings
from opsbook.performance.cache.process import process
from tests.redis_server import running_redis

ROUNDS = 200
PAUSE_SECONDS = (0.01, 0.03)
LOOK_SECONDS = 0.0005
TARGET_MILLISECONDS = 20.0
PATIENCE_SECONDS = 5.0
"""So long that a busy machine is not taken for a dead Redis."""


@cached(ttl=300, name="moment")
def moment() -> int:
    return time.time_ns()


def main() -> None:
    with running_redis() as server:
        follow(server.url)
        command = [sys.executable, "-m", "benchmarks.invalidated", "worker", server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            other.stdout.readline()
            called: list[int] = []
            for _ in range(ROUNDS):
                called.append(time.time_ns())
                moment.invalidate()
                other.stdout.readline()
                time.sleep(random.uniform(*PAUSE_SECONDS))
            seen = [int(line) for line in other.stdout]
        process.close()
    report([(at - began) / 1e6 for began, at in zip(called, seen, strict=True)])


def report(milliseconds: list[float]) -> None:
    percentiles = statistics.quantiles(milliseconds, n=100)
    what = f"`invalidate` → another process computes anew, {ROUNDS} times"
    figure("invalidated_p50", f"{what}: p50", percentiles[49], "ms")
    figure("invalidated_p99", f"{what}: p99", percentiles[98], "ms", TARGET_MILLISECONDS)


def worker() -> None:
    """Say each time that there is a new result; at the end, when each came."""
    seen: list[int] = []
    last = moment()
    print("ready", flush=True)
    while len(seen) < ROUNDS:
        if (now := moment()) != last:
            last = now
            seen.append(time.time_ns())
            print("seen", flush=True)
        time.sleep(LOOK_SECONDS)
    print(*seen, sep="\n", flush=True)


def follow(url: str) -> None:
    link = RedisLink(url, patience_seconds=PATIENCE_SECONDS)
    process.configure(load_settings(redis_url=url, home=Path("/nonexistent"), environment="benchmark"), link)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        follow(sys.argv[2])
        worker()
    else:
        main()
