"""Processes that an `opsbook up` started and could not stop, because it was killed itself."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "OPSBOOK_SUPERVISED_BY"
"""Environment variable that every child of `opsbook up` carries: the home it was started for."""

_PATIENCE_SECONDS = 2.0


def end_strays(home: Path) -> int:
    """End what carries this home's mark, politely and then not; returns how many there were.

    The caller holds the home's lock, so whatever carries the mark has lost its supervisor.
    """
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    strays = [process for process in psutil.process_iter() if process.pid not in ours and _marked(process, home)]
    for step in (psutil.Process.terminate, psutil.Process.kill):
        for process in strays:
            with suppress(psutil.NoSuchProcess):
                step(process)
                process.resume()  # One that was stopped (SIGSTOP) would not hear it.
        still_alive(strays, _PATIENCE_SECONDS)
    return len(strays)


def _marked(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(home)
    except (psutil.Error, OSError):
        return False  # Gone by now, or somebody else's, whose environment we may not read.


def still_alive(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended after so many seconds; less are waited if all have.

    One that only waits to be reaped by its new parent has ended: unlike `psutil.wait_procs`, which
    would wait for that too.
    """
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if _is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
