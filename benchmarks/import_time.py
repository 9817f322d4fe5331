"""What `import opsbook` costs a program over bare Python: it must not tax a script that asks for one flag."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

RUNS = 30
TARGET_MILLISECONDS = 60


def main() -> None:
    """Start Python with and without the import, alternately, and compare the medians."""
    for statement in ("pass", "import opsbook"):
        started(statement)  # once for the disk's cache and the compiled files
    bare, ours = zip(*((started("pass"), started("import opsbook")) for _ in range(RUNS)), strict=True)
    cost = statistics.median(ours) - statistics.median(bare)
    figure = {
        "name": "import_time",
        "what": f"`import opsbook` over bare Python, median of {RUNS}",
        "value": round(max(cost, 0.0), 2),
        "unit": "ms",
        "target": TARGET_MILLISECONDS,
        "peer": f"bare Python {statistics.median(bare):.1f} ms",
    }
    print(json.dumps(figure))


def started(statement: str) -> float:
    """Milliseconds that a Python process takes for a statement."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
