"""What a crash leaves behind: a server without its supervisor, backends without their server, a stale pid file."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

from opsbook.core.errors import Unavailable
from opsbook.core.supervision.strays import still_alive

FAST_SHUTDOWN_SECONDS = 8.0
IMMEDIATE_SHUTDOWN_SECONDS = 2.0


def clear_leftovers(data: Path) -> bool:
    """End every Postgres process that still works in a data folder; true if there was one.

    Postgres keeps its data folder as working directory, so these are ours and nobody
    else's. The caller holds the home's lock: no other supervisor starts one meanwhile.

    Raises:
        Unavailable: One of them cannot be ended.
    """
    found = _processes_in(data)
    server = [process for process in found if process.pid == _recorded_pid(data)]
    _end(server, ((signal.SIGINT, FAST_SHUTDOWN_SECONDS), (signal.SIGQUIT, IMMEDIATE_SHUTDOWN_SECONDS)))
    # Backends end by themselves once their server has; those that are frozen or busy are made to.
    orphans = _end(found, ((None, 1.0), (signal.SIGQUIT, IMMEDIATE_SHUTDOWN_SECONDS), (signal.SIGKILL, 2.0)))
    if orphans:
        raise Unavailable(f"an earlier Postgres does not end: pid {', '.join(str(it.pid) for it in orphans)}")
    _drop_misleading_pid_file(data)
    return bool(found)


def _processes_in(data: Path) -> list[psutil.Process]:
    folder = str(data.resolve())
    return [process for process in psutil.process_iter() if _works_in(process, folder)]


def _works_in(process: psutil.Process, folder: str) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == folder
    except psutil.Error:
        return False


def _recorded_pid(data: Path) -> int | None:
    """The server's pid by the first line of `postmaster.pid`; None without a readable one."""
    try:
        return int((data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _end(processes: list[psutil.Process], steps: Iterable[tuple[signal.Signals | None, float]]) -> list[psutil.Process]:
    """Send each signal and wait its seconds, while any of the processes remains; returns those that do."""
    for step, seconds in steps:
        if step is not None:
            for process in processes:
                _signal(process, step)
        processes = still_alive(processes, seconds)
    return processes


def _signal(process: psutil.Process, step: signal.Signals) -> None:
    try:
        process.send_signal(step)
        process.resume()  # One that was stopped (SIGSTOP) would not hear the signal.
    except psutil.NoSuchProcess:
        pass  # It ended by itself, which is what we want.
    except psutil.AccessDenied as error:
        raise Unavailable(
            f"an earlier Postgres (pid {process.pid}) still runs and belongs to {process.username()}:"
            " stop it, or start as that user"
        ) from error


def _drop_misleading_pid_file(data: Path) -> None:
    """Remove a `postmaster.pid` that would mislead Postgres: an unreadable one, or one with another program's pid.

    One whose process is gone is left to Postgres, which also checks the shared memory it names.
    """
    pid = _recorded_pid(data)
    if pid is None or psutil.pid_exists(pid):
        (data / "postmaster.pid").unlink(missing_ok=True)
