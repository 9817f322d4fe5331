"""How long `opsbook up` takes until it is ready: the first time, when it makes its databases, and later."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST_STARTS = 3
LATER_STARTS = 5
TARGET_FIRST_SECONDS = 8
TARGET_LATER_SECONDS = 3
TARGET_STOP_SECONDS = 10


def main() -> None:
    """Start and stop it in some empty homes, then again in the last of them."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder:
        Path(folder).chmod(0o711)
        homes = [Path(folder, f"home-{number}") for number in range(FIRST_STARTS)]
        first = [up_and_down(home) for home in homes]
        later = [up_and_down(homes[-1]) for _ in range(LATER_STARTS)]
    starts, stops = [start for start, _ in later], [stop for _, stop in (*first, *later)]
    figure(
        "up_first",
        f"first `opsbook up` to ready, median of {FIRST_STARTS}",
        statistics.median(start for start, _ in first),
        TARGET_FIRST_SECONDS,
    )
    figure(
        "up_later",
        f"later `opsbook up` to ready, median of {LATER_STARTS}",
        statistics.median(starts),
        TARGET_LATER_SECONDS,
    )
    figure(
        "up_later_slowest", f"later `opsbook up` to ready, slowest of {LATER_STARTS}", max(starts), TARGET_LATER_SECONDS
    )
    figure("up_stop", f"SIGTERM to gone, slowest of {FIRST_STARTS + LATER_STARTS}", max(stops), TARGET_STOP_SECONDS)


def up_and_down(home: Path) -> tuple[float, float]:
    """Seconds to ready, and seconds to stopped."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "opsbook", "up", "--json", "--home", str(home), "--port", str(free_port())],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("OPSBOOK_", "DATABASE_"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    ready = time.perf_counter() - began
    assert line.startswith(b"{"), "it did not get ready"
    process.send_signal(signal.SIGTERM)
    process.wait()
    process.stdout.close()
    return ready, time.perf_counter() - began - ready


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def figure(name: str, what: str, value: float, target: float) -> None:
    print(json.dumps({"name": name, "what": what, "value": round(value, 2), "unit": "s", "target": target}))


if __name__ == "__main__":
    main()
