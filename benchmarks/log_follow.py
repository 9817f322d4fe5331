"""From logged to read by `opsbook logs follow`: four processes that log 1,000 lines a second together, none lost."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks._servers import wait_for
from opsbook.chapters import CHAPTERS
from opsbook.core.log import get_logger
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.schema import apply_schema
from opsbook.core.settings import load_settings
from opsbook.debugging import shipping_logs

PROCESSES = 4
LINES_A_SECOND = 1_000
SECONDS = 15
LINES = LINES_A_SECOND * SECONDS
LOGGER = "benchmark"
TARGET_P95_MILLISECONDS = 300


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "home") as postgres:
        apply_schema(postgres.urls["ops"], CHAPTERS)
        environment = {**os.environ, "OPSBOOK_DATABASE_URL": postgres.urls["ops"], "OPSBOOK_HOME": folder}
        with following(environment) as delays, ExitStack() as stack:
            for _ in range(PROCESSES):
                stack.enter_context(logging_process(environment))
            latest = time.monotonic() + SECONDS + 15
            wait_for(lambda: len(delays) >= LINES or time.monotonic() > latest, SECONDS + 30)
        report(list(delays.values()))


@contextmanager
def following(environment: dict[str, str]) -> Iterator[dict[tuple[int, int], float]]:
    """The command, while the context lasts; the milliseconds that each line took to it."""
    command = [sys.executable, "-m", "opsbook", "logs", "follow", "--json", "--logger", LOGGER, "--since", "1m"]
    follower = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    delays: dict[tuple[int, int], float] = {}

    def read() -> None:
        assert follower.stdout is not None
        for line in follower.stdout:
            said = json.loads(line)
            delays[said["writer"], said["number"]] = (time.time() - said["fields"]["said_at"]) * 1000

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield delays
    finally:
        follower.terminate()
        follower.wait(10)
        reader.join(10)


@contextmanager
def logging_process(environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.log_follow", "log"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.wait(SECONDS + 30)


def log_steadily() -> None:
    """This process's share of the lines, evenly over the time."""
    pause = PROCESSES / LINES_A_SECOND
    with shipping_logs(load_settings()):
        log = get_logger(LOGGER)
        started = time.monotonic()
        for number in range(LINES // PROCESSES):
            time.sleep(max(0.0, started + number * pause - time.monotonic()))
            log.warning("request", said_at=time.time(), method="GET", path="/api/events", status=200, user_id="u1")


def report(delays: list[float]) -> None:
    percentiles = statistics.quantiles(delays, n=100)
    what = f"log line → follower, {LINES_A_SECOND:,} lines/s of {PROCESSES} processes"
    for name, found, target in (
        ("p50", percentiles[49], None),
        ("p95", percentiles[94], TARGET_P95_MILLISECONDS),
        ("p99", percentiles[98], None),
    ):
        figure = {"name": f"log_follow_{name}", "what": f"{what}: {name}", "value": round(found, 1), "unit": "ms"}
        print(json.dumps({**figure, "target": target}), flush=True)
    lost = {"name": "log_follow_lost", "what": f"{what}: lost", "value": LINES - len(delays), "unit": "lines"}
    print(json.dumps({**lost, "target": 0}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["log"]:
        log_steadily()
    else:
        main()
