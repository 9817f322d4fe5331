"""A real `opsbook up` in a process of its own, for tests that use it or break it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil


def until(reached: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for an event, and fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def opsbook(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in a folder, with nothing configured but that."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "LANG") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "opsbook", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str, str]:
    """Exit code, output and error output of a command, once it ended."""
    with process:
        out, errors = process.communicate(timeout=seconds)
    return process.returncode, out, " ".join(errors.split())


@dataclass(frozen=True)
class Up:
    """One that is up."""

    process: subprocess.Popen[str]
    folder: Path
    facts: dict[str, str]

    @property
    def url(self) -> str:
        return self.facts["url"]

    @property
    def home(self) -> Path:
        return self.folder / ".opsbook"

    def processes(self) -> list[psutil.Process]:
        """It and everything below it."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def child(self, words: str) -> psutil.Process:
        """Its direct child with these words in its command line."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if words in " ".join(child.cmdline()))

    def is_live(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/livez", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """End it as a crash would: with no chance to do anything."""
        assert self.process.stdout
        assert self.process.stderr
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Ask it to stop; what `finished` gives."""
        self.process.send_signal(how)
        return finished(self.process)


@contextmanager
def up(folder: Path, *arguments: str) -> Iterator[Up]:
    """`opsbook up --json` in a folder, ready; stopped at the end unless the test did."""
    process = opsbook(folder, "up", "--json", "--port", str(free_port()), *arguments)
    assert process.stdout
    line = process.stdout.readline()
    assert line, finished(process)
    running = Up(process, folder, json.loads(line))
    try:
        yield running
    finally:
        if process.returncode is None:
            running.stop()
