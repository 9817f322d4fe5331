"""A process's duty as a reader: to confirm each revision that it serves, and every ten seconds that it is there."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import msgspec

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.flags.readers.obedience import Kind

_EVERY_SECONDS = 10.0
_PAUSE_SECONDS = (0.02, 0.08)
"""Before a confirmation: where fifty workers share a machine, the last of them must not obey later for the first's."""
_GAP_SECONDS = 0.5
"""Between confirmations: of one change after the other, not each is worth the work."""
_LONGEST_TEXT = 255

log = get_logger(__name__)


class Confirmation(msgspec.Struct, frozen=True):
    """One process serves one revision."""

    id: UUID
    host: str
    pid: int
    name: str
    kind: Kind
    revision: int
    served_ms: float
    """For how long it has."""


class Confirming:
    """What one process has still to confirm; its source says when there is time for it."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self.begin_anew()

    def begin_anew(self) -> None:
        """As another reader, which serves nothing yet: in a forked child, and after this one has left."""
        self.id = uuid4()
        self._serves: int | None = None
        self._served_at = self._owing_at = self._settled_at = 0.0
        self._confirmed: int | None = None
        self._failures = 0

    def serve(self, revision: int) -> None:
        """This is being served from now on."""
        if revision != self._serves:
            self._served_at = time.monotonic()
            if self._serves == self._confirmed:
                self._owing_at = self._served_at + jitter(*_PAUSE_SECONDS)
            self._serves = revision

    def settle(self, send: Callable[[Confirmation], object]) -> float:
        """Send what is due; gives the seconds until something is.

        Never raises. What fails is tried again, at growing distances up to ten seconds.
        """
        serves, now = self._serves, time.monotonic()
        if serves is None or now < self._due_at():
            return self._left()
        try:
            # Another thread may have gone on to a later one just now.
            served_ms = max(0.0, 1000 * (now - self._served_at))
            send(Confirmation(self.id, _host(), os.getpid(), _program(), self._kind, serves, served_ms))
        except Exception as error:
            # Who obeys is worth knowing, but no reader may suffer for it.
            if not self._failures:
                log.warning("flag_revision_not_confirmed", error=str(error) or type(error).__name__)
            self._failures += 1
        else:
            self._confirmed, self._failures = serves, 0
        self._settled_at = now
        return self._left()

    def _due_at(self) -> float:
        if self._failures:
            return self._settled_at + min(_EVERY_SECONDS, 2.0**self._failures)
        if self._serves != self._confirmed:
            return max(self._owing_at, self._settled_at + _GAP_SECONDS)
        return self._settled_at + _EVERY_SECONDS

    def _left(self) -> float:
        return _EVERY_SECONDS if self._serves is None else max(0.0, self._due_at() - time.monotonic())


def _host() -> str:
    return socket.gethostname()[:_LONGEST_TEXT] or "unknown"


def _program() -> str:
    """What this process was started as: `gunicorn`, `celery`; of `python -m package` the package."""
    path = Path(sys.argv[0] if sys.argv else "")
    name = path.parent.name if path.name == "__main__.py" else path.name
    # `-c` and `-` stand for a program without a file.
    return "python" if not name or name.startswith("-") else name[:_LONGEST_TEXT]
