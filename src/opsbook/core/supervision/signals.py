"""Turning Unix signals into something a plain loop can wait for."""

from __future__ import annotations

import select
import signal
import socket
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """While entered: counts requests to stop, and wakes `wait` for them and for every child that ends.

    Until `interrupting` is switched off, a request also raises KeyboardInterrupt, to cut a
    start short wherever it waits. After that handlers only count and write one byte
    (`signal.set_wakeup_fd`), so that nothing happens at an unforeseen point of the loop.
    Python runs handlers in the main thread: enter this there.
    """

    def __init__(self) -> None:
        self.stop_requests = 0
        self.interrupting = True
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[signal.Signals, signal.Handlers | object] = {}
        self._wakeup_before = -1

    def wait(self, seconds: float | None) -> None:
        """Sleep until a signal arrives, or the seconds have passed."""
        select.select([self._reader], [], [], seconds)
        with suppress(BlockingIOError):
            self._reader.recv(4096)

    def interrupt(self) -> None:
        """Cut the start short if a request came whose KeyboardInterrupt was lost.

        Python drops what a handler raises while a finalizer or a weak reference's callback runs.

        Raises:
            KeyboardInterrupt: A stop was requested.
        """
        if self.stop_requests:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._count)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _only_wake)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        signal.set_wakeup_fd(self._wakeup_before)
        self._reader.close()
        self._writer.close()

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1
        if self.interrupting:
            raise KeyboardInterrupt


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """The byte that the wake-up descriptor receives is all that is wanted."""
