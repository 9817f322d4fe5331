"""Runs a command as the shell would, so that its outcome can be told: output untouched, signals passed on."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from typing import Any, Final, Self

from opsbook.core.console import err

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)
_CANNOT_EXECUTE: Final = 126
_NOT_FOUND: Final = 127


def run_command(command: Sequence[str]) -> int:
    """The exit code of a command; as POSIX shells have it, 128 and the signal's number for one that a signal ended."""
    with _Signals() as signals:
        try:
            process = subprocess.Popen(command)
        except OSError as error:
            err.print(f"{command[0]} could not be started: {error.strerror}", markup=False, soft_wrap=True)
            return _NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_EXECUTE
        signals.pass_on_to(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


class _Signals:
    """Whoever stops us means the command. Ctrl-C it hears by itself, and we must live to tell what became of it.

    None is ignored: a program inherits what is ignored, but not what is handled.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._hear) for each in _PASSED_ON}
        self._before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def pass_on_to(self, process: subprocess.Popen[bytes]) -> None:
        """From here on; what came while the command was being started, too."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _hear(self, number: int, _: object) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)
