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

from opsbook.core.log import get_logger
from opsbook.flags.readers.obedience import Kind

_EVERY_SECONDS = 10.0
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


class Confirming:
    """What one process has still to confirm. Its source says when there is time for it: after all else."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self.begin_anew()

    def begin_anew(self) -> None:
        """As another reader, which serves nothing yet: in a forked child, and after this one has left."""
        self.id = uuid4()
        self._serves: int | None = None
        self._confirmed: int | None = None
        self._due_at = 0.0
        self._failures = 0

    def serve(self, revision: int) -> None:
        """This is being served from now on."""
        self._serves = revision

    def settle(self, send: Callable[[Confirmation], object]) -> None:
        """Send what is due; never raises. What fails is tried again, at growing distances up to ten seconds."""
        serves, now = self._serves, time.monotonic()
        if serves is None or (now < self._due_at and (self._failures or serves == self._confirmed)):
            return
        try:
            send(Confirmation(self.id, _host(), os.getpid(), _program(), self._kind, serves))
        except Exception as error:
            # Who obeys is worth knowing, but no reader may suffer for it.
            if not self._failures:
                log.warning("flag_revision_not_confirmed", error=str(error) or type(error).__name__)
            self._failures += 1
            self._due_at = now + min(_EVERY_SECONDS, 2.0**self._failures)
        else:
            self._confirmed, self._failures, self._due_at = serves, 0, now + _EVERY_SECONDS


def _host() -> str:
    return socket.gethostname()[:_LONGEST_TEXT] or "unknown"


def _program() -> str:
    """What this process was started as: `gunicorn`, `celery`; of `python -m package` the package."""
    path = Path(sys.argv[0] if sys.argv else "")
    name = path.parent.name if path.name == "__main__.py" else path.name
    return name.lstrip("-")[:_LONGEST_TEXT] or "python"
