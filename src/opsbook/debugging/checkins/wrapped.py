"""Runs a command as the shell would, so that its outcome can be told: output untouched, signals passed on."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from opsbook.core.console import err

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)
_CANNOT_EXECUTE: Final = 126
_NOT_FOUND: Final = 127


def run_command(command: Sequence[str]) -> int:
    """The exit code of a command; as POSIX shells have it, 128 and the signal's number for one that a signal ended."""
    try:
        with subprocess.Popen(command) as process, _passing_signals_on(process):
            code = process.wait()
    except OSError as error:
        err.print(f"{command[0]} could not be started: {error.strerror}", markup=False, soft_wrap=True)
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_EXECUTE
    return code if code >= 0 else 128 - code


@contextmanager
def _passing_signals_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whoever stops us means the command. Ctrl-C it hears by itself, and we must live to tell what became of it."""
    before = {each: signal.signal(each, lambda number, _: process.send_signal(number)) for each in _PASSED_ON}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
