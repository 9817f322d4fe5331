"""Runs every benchmark in this folder, one after another, and writes RESULTS.md.

A benchmark is a program that prints one JSON object a line for each figure it measured:
`{"name", "what", "value", "unit", "target"}`, and where it stands beside a peer `peer` (its name and
value) and `ratio`. A target is an upper bound in the figure's unit. Names given as arguments select.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"run.py", "soak.py"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value beside its target."""

    name: str
    what: str
    value: float
    unit: str
    target: float | None = None
    peer: str | None = None
    ratio: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target


def main(wanted: list[str]) -> int:
    """Measure, print and write down; 1 if a benchmark failed to run. A missed target is a result, not a failure."""
    figures: list[Figure] = []
    failed: list[str] = []
    for script in benchmarks(wanted):
        print(f"{script.stem} …", flush=True)
        measured = list(measure(script))
        failed += [] if measured else [script.stem]
        figures += measured
        for figure in measured:
            print(f"  {figure.what}: {shown(figure.value)} {figure.unit} ({verdict(figure)})", flush=True)
    if not wanted:
        (HERE / "RESULTS.md").write_text(report(figures, failed), encoding="utf-8")
    return 1 if failed else 0


def benchmarks(wanted: list[str]) -> list[Path]:
    scripts = sorted(path for path in HERE.glob("*.py") if path.name not in NOT_BENCHMARKS and path.name[0] != "_")
    return [path for path in scripts if not wanted or path.stem in wanted]


def measure(script: Path) -> Iterator[Figure]:
    """The figures a benchmark prints; none if it failed."""
    command = [sys.executable, "-m", f"{HERE.name}.{script.stem}"]
    seen = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
    if seen.returncode != 0:
        print(f"  failed with exit code {seen.returncode}", flush=True)
        return
    for line in seen.stdout.splitlines():
        if line.startswith("{"):
            yield Figure(**json.loads(line))


def report(figures: list[Figure], failed: list[str]) -> str:
    """The results as Markdown."""
    lines = [
        "# Measured results",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}; all in one run on one machine: {machine()}.",
        "",
        "| benchmark | what | measured | target | | beside |",
        "|---|---|--:|--:|---|---|",
    ]
    lines += [row(figure) for figure in figures]
    lines += [f"| {name} | did not run | | | failed | |" for name in failed]
    return "\n".join(lines) + "\n"


def row(figure: Figure) -> str:
    target = "" if figure.target is None else f"≤ {shown(figure.target)} {figure.unit}"
    beside = (figure.peer or "") + (f" ({figure.ratio:.2f} ×)" if figure.ratio is not None else "")
    cells = [figure.name, figure.what, f"{shown(figure.value)} {figure.unit}", target, verdict(figure), beside]
    return f"| {' | '.join(cells)} |"


def verdict(figure: Figure) -> str:
    return {None: "", True: "met", False: "**missed**"}[figure.met]


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def machine() -> str:
    """What a reader needs to judge the figures: processor, cores, memory, kernel, Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = platform.release().split("-")[0]
    cores = len(os.sched_getaffinity(0))
    return (
        f"{processor()}, {cores} cores, {memory:.0f} GiB memory, {platform.system()} {kernel}, "
        f"Python {platform.python_version()}"
    )


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
