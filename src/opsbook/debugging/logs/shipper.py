"""Sends what a process logs to the ops database, without ever keeping it waiting or failing it.

Lines wait in memory, within bounds, for a thread that writes them a few times a second, many in one transaction.
While the database is away they wait on; what finds no room is counted, and the count is logged once there is.
A process that is killed loses what it logged within the last tenth of a second, or since the database went away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Final

from opsbook.debugging.logs.line import Line, line_of
from opsbook.debugging.logs.sender import Sender
from opsbook.debugging.scrubbing import Scrubber

MOST_LINES: Final = 20_000
MOST_BYTES: Final = 16 * 2**20
"""What waits in memory at most."""

_GATHER_SECONDS: Final = 0.05
_MOST_AT_ONCE: Final = 2_000


class LogShipper(logging.Handler):
    """A handler for the root logger. The thread starts with the first line, in a forked child anew."""

    def __init__(self, sender: Sender, scrubber: Scrubber) -> None:
        super().__init__()
        self._sender = sender
        self._scrubber = scrubber
        self._prepare()
        _alive.add(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, of whatever thread but our own; the caller holds the handler's lock."""
        if record.thread == self._ident:
            return
        try:
            self._take(line_of(record, self._scrubber))
        except Exception:
            # As every handler of the standard library does: logging fails nobody.
            self.handleError(record)

    def start(self) -> None:
        """Take lines from here on, also after a stop."""
        self.forget_thread()

    def stop(self, timeout: float = 2.0) -> None:
        """Send what waits, and end; gives up after so many seconds."""
        self._sender.hurry()
        self._stopping.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def forget_thread(self) -> None:
        """In a forked child: what waits is the parent's to send, and so is its connection."""
        self._sender = self._sender.anew()
        self._prepare()

    def _prepare(self) -> None:
        self._lines: list[Line] = []
        self._bytes = 0
        self._dropped = 0
        self._ident: int | None = None
        self._thread: threading.Thread | None = None
        self._news = threading.Event()
        self._stopping = threading.Event()

    def _take(self, line: Line) -> None:
        if len(self._lines) >= MOST_LINES or self._bytes + line.size > MOST_BYTES:
            self._dropped += 1
            return
        self._lines.append(line)
        self._bytes += line.size
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="opsbook logs", daemon=True)
            self._thread.start()
        if len(self._lines) == 1:
            self._news.set()

    def _run(self) -> None:
        self._ident = threading.get_ident()
        while lines := self._next_lines():
            given_up = self._sender.send(lines)
            if given_up and self._stopping.is_set():
                break
            self.acquire()
            self._dropped += given_up
            self.release()
        self._sender.close()

    def _next_lines(self) -> Sequence[Line]:
        """What to send next; nothing once all is sent that was logged before the stop."""
        self._news.wait()
        self._stopping.wait(_GATHER_SECONDS)
        self._news.clear()
        self.acquire()
        taken, self._lines = self._lines[:_MOST_AT_ONCE], self._lines[_MOST_AT_ONCE:]
        self._bytes -= sum(line.size for line in taken)
        dropped, self._dropped = self._dropped, 0
        if self._lines or self._stopping.is_set():
            self._news.set()
        self.release()
        return [*taken, _gap(dropped)] if dropped else taken


def _gap(dropped: int) -> Line:
    """The line that stands for those that found no room."""
    fields = b'{"count":%d}' % dropped
    return Line(time.time(), "warning", __name__, "log_lines_dropped", fields)


_alive: weakref.WeakSet[LogShipper] = weakref.WeakSet()


def _forget_threads() -> None:
    for shipper in tuple(_alive):
        shipper.forget_thread()


os.register_at_fork(after_in_child=_forget_threads)
