"""One child process: started so that it never outlives us, stopped so that nothing of it remains."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from opsbook.core.supervision.signals import STOP_SIGNALS

if TYPE_CHECKING:
    from opsbook.core.postgres.privileges import ProcessIdentity

Process: TypeAlias = subprocess.Popen[bytes]

PR_SET_PDEATHSIG = 1
"""prctl(2): send this signal when the thread that forked us ends. Linux only."""


@dataclass(frozen=True, slots=True)
class StopStep:
    """A signal, and the seconds the process has to end after it before the next step."""

    signal: signal.Signals
    seconds: float
    brisk: bool = False
    """So quick that even the impatient wait for it, as it spares a mess."""


def spawn(
    command: Sequence[str],
    *,
    stop_signal: signal.Signals,
    environment: Mapping[str, str],
    folder: Path | None = None,
    output: IO[bytes] | int | None = None,
    identity: ProcessIdentity | None = None,
) -> Process:
    """Start a program in a session of its own, which gets `stop_signal` should we die.

    The session keeps a Ctrl-C in the terminal from reaching it before we stop things in order.
    Call this from the main thread: on Linux the program is stopped when the thread that started it ends.
    An exception that a signal's handler raises meanwhile leaves no program behind.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            # Single-threaded here, and neither prctl nor the mask has another place.
            preexec_fn=_between_fork_and_exec(stop_signal, before),  # noqa: PLW1509
            **(identity or {}),
        )
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # Runs the handlers of what came meanwhile.
    except BaseException:
        kill_session(process)
        raise
    return process


def stop(processes: Sequence[Process], steps: Sequence[StopStep], *, impatient: Callable[[], bool] = bool) -> None:
    """End processes side by side: each step's signal to those still running, at last SIGKILL to their sessions.

    Args:
        processes: What to end; one that is known to have ended is left alone, its pid may be another's.
        steps: The signals, mildest first.
        impatient: Asked while waiting; once true, the remaining patience is skipped.
    """
    processes = [process for process in processes if process.returncode is None]
    for step in steps:
        running = [process for process in processes if process.poll() is None]
        for process in running:
            process.send_signal(step.signal)
            process.send_signal(signal.SIGCONT)  # One that was stopped would not hear it.
        _wait_for(running, step.seconds, bool if step.brisk else impatient)
    for process in processes:
        kill_session(process)


def kill_session(process: Process) -> None:
    """SIGKILL whatever is left of a child's process group, and reap the child."""
    # Refused when nothing is left, or (macOS) only what has ended and waits to be reaped.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_for(processes: Sequence[Process], seconds: float, impatient: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while any(process.poll() is None for process in processes):
        if time.monotonic() > deadline or impatient():
            return
        time.sleep(0.02)


def _between_fork_and_exec(stop_signal: signal.Signals, mask: Iterable[int]) -> Callable[[], None]:
    """What the child does there; after it changed its user, which would undo the first part."""
    if sys.platform != "linux":
        return lambda: _set_mask(mask)
    prctl, parent = _LIBC.prctl, os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # We died between the fork and the line above.
        _set_mask(mask)

    return prepare


def _set_mask(mask: Iterable[int]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_LIBC = ctypes.CDLL(None, use_errno=True)
