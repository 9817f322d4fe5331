"""Starts the processes of these tests, and ends them with whatever they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.flags.helpers import until

HERE = Path(__file__).parent


class Program:
    """A program whose standard output is read line by line as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def wait_for(self, line: str, within: float = 15) -> float:
        """Seconds until it has said this line."""
        return until(lambda: line in self.said, within)

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._reader.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))


@contextmanager
def running(home: Path, *command: str | Path, **environment: str) -> Iterator[Program]:
    """A Python program, given as its arguments, with nothing configured but what is given."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path, "OPSBOOK_HOME": str(home), "COLUMNS": "200", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=home,
    )
    program = Program(process)
    try:
        yield program
    finally:
        program.end()


@contextmanager
def speaker(url: str, home: Path, **environment: str) -> Iterator[Program]:
    """A process that logs what it is told to, from when it does."""
    with running(home, HERE / "speaking.py", OPSBOOK_DATABASE_URL=url, **environment) as program:
        program.wait_for("ready")
        yield program
