"""Resolves pyproject.toml into the two lock files: hashes for every platform, no addresses.

`lock.py --upgrade` takes the newest allowed versions; without it only what must change does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--custom-compile-command=make lock",
    "--quiet",
)


def main(arguments: list[str]) -> None:
    """Write requirements.lock, then requirements-dev.lock with the same versions in it."""
    compile_lock("requirements.lock", "--group=build", *arguments)
    compile_lock("requirements-dev.lock", "--group=dev", "--constraint=requirements.lock", *arguments)


def compile_lock(target: str, *arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "compile", *OPTIONS, *arguments, "--output-file", target, "pyproject.toml"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1:])
