"""What importing the kit costs over a bare Python, and what making it costs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

RUNS = 20
TARGET_MILLISECONDS = 60.0

PROGRAMS = {
    "bare": "pass",
    "import": "import opsbook",
    "kit": "from opsbook import Flags; Flags.from_env()",
}


def main() -> None:
    """Start each program so many times, in turns, so that a busy moment hits all alike."""
    environment = {**os.environ, "OPSBOOK_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    for code in PROGRAMS.values():
        run(code, environment)  # warms the file cache and writes the byte code
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(RUNS):
        for name, code in PROGRAMS.items():
            started = time.perf_counter()
            run(code, environment)
            times[name].append((time.perf_counter() - started) * 1000)
    medians = {name: statistics.median(values) for name, values in times.items()}
    over_bare = {name: round(median - medians["bare"], 1) for name, median in medians.items()}
    what = f"over bare Python ({medians['bare']:.0f} ms), median of {RUNS}"
    figure = {"name": "import_opsbook", "what": f"`{PROGRAMS['import']}` {what}", "value": over_bare["import"]}
    print(json.dumps({**figure, "unit": "ms", "target": TARGET_MILLISECONDS}))
    figure = {"name": "import_kit", "what": f"`{PROGRAMS['kit']}` {what}", "value": over_bare["kit"]}
    print(json.dumps({**figure, "unit": "ms"}))


def run(code: str, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


if __name__ == "__main__":
    main()
