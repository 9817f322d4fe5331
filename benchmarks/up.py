"""How long `opsbook up` takes from being typed to being ready, the first time in a folder and later."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._servers import free_port

FIRST_STARTS = 3
LATER_STARTS = 5
TARGET_FIRST_SECONDS = 8.0
TARGET_LATER_SECONDS = 3.0


def main() -> None:
    """Each first start is in a new folder; the later ones are in the last of these."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        first: list[float] = []
        for _ in range(FIRST_STARTS):
            shutil.rmtree(folder / "service", ignore_errors=True)
            subprocess.run(opsbook("init", "service"), cwd=folder, check=True, stdout=subprocess.DEVNULL)
            first.append(started_and_stopped(folder / "service"))
        later = [started_and_stopped(folder / "service") for _ in range(LATER_STARTS)]
    for name, which, seconds, target in (
        ("up_first", "first", first, TARGET_FIRST_SECONDS),
        ("up_later", "later", later, TARGET_LATER_SECONDS),
    ):
        what = f"{which} `opsbook up`, typed → ready: median of {len(seconds)}"
        value = round(statistics.median(seconds), 2)
        print(json.dumps({"name": name, "what": what, "value": value, "unit": "s", "target": target}))


def started_and_stopped(folder: Path) -> float:
    """Seconds until it says that it is ready, which is its first line."""
    kept = ("PATH", "HOME", "PYTHONPATH", "LANG")
    typed = time.perf_counter()
    up = subprocess.Popen(
        opsbook("up", "--json", "--port", str(free_port())),
        cwd=folder,
        env={name: os.environ[name] for name in kept if name in os.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert up.stdout is not None
        assert up.stdout.readline(), "opsbook up did not start"
        return time.perf_counter() - typed
    finally:
        up.terminate()
        up.wait(20)


def opsbook(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "opsbook", *arguments]


if __name__ == "__main__":
    main()
