"""Runs every check that needs no running service, shows what each found, fails if one did.

In the order of how soon they answer: format, lint, spelling, import rules, documentation, types.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS = (
    ("format", "ruff", "format", "--check", "."),
    ("lint", "ruff", "check", "."),
    ("spelling", "codespell"),
    ("import rules", "lint-imports", "--no-cache"),
    ("command reference", "python", "tools/command_reference.py", "--check"),
    ("links", "python", "tools/links.py"),
    ("types", "basedpyright", "--pythonpath", str(BIN / "python")),
)


def main() -> int:
    """Run all the checks; the number of those that found something."""
    return sum(not passes(name, command) for name, *command in CHECKS)


def passes(name: str, command: list[str]) -> bool:
    began = time.monotonic()
    seen = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    verdict = "ok" if seen.returncode == 0 else "FAILED"
    print(f"{name:18} {verdict:7} {time.monotonic() - began:5.1f} s", flush=True)
    if seen.returncode != 0:
        print(seen.stdout, flush=True)
    return seen.returncode == 0


if __name__ == "__main__":
    sys.exit(min(main(), 1))
