"""Keeps a set of child processes running until asked to stop, then stops them in order.

One thread, one loop: children are started, watched and stopped here and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opsbook.core.errors import OpsbookError
from opsbook.core.log import get_logger
from opsbook.core.supervision.processes import Process, StopStep, kill_session, stop
from opsbook.core.supervision.signals import Signals

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A child that lived this long is taken to be well: its next restart waits the first, shortest pause again."""

_log = get_logger(__name__)


@dataclass(slots=True)
class Child:
    """A program to keep running, and how to start it."""

    name: str
    start: Callable[[], Process]
    process: Process | None = None
    _started_at: float = 0.0
    _pause: float = FIRST_PAUSE_SECONDS
    _due_at: float | None = None

    def launch(self) -> None:
        """Start it now."""
        self._due_at = None
        self._started_at = time.monotonic()
        self.process = self.start()

    @property
    def due_in(self) -> float | None:
        """Seconds until a planned restart, None where none is planned."""
        return None if self._due_at is None else max(0.0, self._due_at - time.monotonic())

    def note_end(self) -> None:
        """Plan its restart if it has ended: at once at first, ever later while it keeps ending early."""
        if self.process is None or self.process.poll() is None or self._due_at is not None:
            return
        kill_session(self.process)
        lived = time.monotonic() - self._started_at
        self._pause = FIRST_PAUSE_SECONDS if lived > STEADY_SECONDS else self._pause
        self._plan_restart("process_ended", exit_code=self.process.returncode, lived_seconds=round(lived, 1))

    def restart_if_due(self) -> None:
        """Start it again when its pause is over; a start that fails is tried again later."""
        if self.due_in != 0.0:
            return
        try:
            self.launch()
        except (OSError, OpsbookError) as error:
            self._plan_restart("process_not_started", error=str(error))

    def _plan_restart(self, event: str, **facts: object) -> None:
        _log.error(event, process=self.name, restart_in_seconds=self._pause, **facts)
        self._due_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)


class Supervisor:
    """Groups of children in the order of their start; they stop in the reverse order, each group side by side."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._groups: list[tuple[Sequence[Child], Sequence[StopStep]]] = []

    def add(self, children: Sequence[Child], stop_steps: Sequence[StopStep]) -> None:
        """Keep a group running from now on, starting those that do not run yet."""
        self._groups.append((children, stop_steps))
        for child in children:
            if child.process is None:
                child.launch()

    def run(self) -> None:
        """Watch and restart, until a stop is asked for; stopping is up to the caller.

        The signals no longer interrupt by now, neither here nor while stopping.
        """
        while not self._signals.stop_requests:
            self._signals.wait(self._seconds_to_next_restart())
            for child in self._children():
                child.note_end()
                child.restart_if_due()

    def stop(self) -> None:
        """Stop everything, last group first. A second signal ends what is left at once."""
        while self._groups:
            children, steps = self._groups.pop()
            running = [child.process for child in children if child.process is not None]
            stop(running, steps, impatient=lambda: self._signals.stop_requests > 1)

    def _children(self) -> list[Child]:
        return [child for children, _ in self._groups for child in children]

    def _seconds_to_next_restart(self) -> float | None:
        return min((due for child in self._children() if (due := child.due_in) is not None), default=None)
