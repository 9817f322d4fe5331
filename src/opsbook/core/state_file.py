"""A file that keeps a process's last known state for bad days: whole or not at all, its owner's alone.

The first state is written at once. A later one is written within seconds, at a random moment: fifty workers share
the file and hear of a change together, so the first writes and the rest find it done.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger

_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_HEADER = 4096
_LATEST_SECONDS = 2.0

log = get_logger(__name__)


class StateUnusable(Exception):
    """The file is truncated, damaged, of another version, or not ours."""


@dataclass(frozen=True, slots=True)
class State:
    """What is kept: a revision, and the bytes that stand for the state as of it."""

    revision: int
    body: bytes


class _Header(msgspec.Struct):
    kind: str
    revision: int
    sha256: str


class StateFile:
    """One process's hand on the file; without a path it keeps nothing."""

    def __init__(self, path: Path | None, kind: str) -> None:
        """Keep state in that file; `kind` says what it is and in which version, and no other is read."""
        self._path = path
        self._kind = kind
        self._newest: tuple[int, Callable[[], bytes]] | None = None
        self.forget_thread()

    def read(self) -> State | None:
        """What is on disk; None where nothing is, or nothing that can be trusted, which is logged."""
        if self._path is None:
            return None
        try:
            return self._read(self._path)
        except FileNotFoundError:
            return None
        except (OSError, StateUnusable) as error:
            log.warning("state_unusable", path=str(self._path), error=str(error))
            return None

    def keep(self, revision: int, encode: Callable[[], bytes]) -> None:
        """Have this on disk within seconds, unless a newer one comes first; encoded only if it is written."""
        if self._path is None:
            return
        first, self._newest = self._newest is None, (revision, encode)
        if first:
            self._write()
        elif self._timer is None:
            self._timer = threading.Timer(jitter(0, _LATEST_SECONDS), self._write)
            self._timer.daemon = True
            self._timer.start()

    def flush(self) -> None:
        """Write now what waits for its moment."""
        timer = self._timer  # which forgets itself when its moment comes
        if timer is not None:
            timer.cancel()
            self._write()

    def forget_thread(self) -> None:
        """In a forked child: the parent's timer is not here, and its lock may be held."""
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def _write(self) -> None:
        with self._lock:
            # Before the newest is taken: a change that comes from here on has a timer of its own.
            self._timer = None
            if self._path is None or self._newest is None:
                return
            revision, encode = self._newest
            try:
                if self._revision_on_disk(self._path) != revision:
                    self._replace(self._path, State(revision, encode()))
            except OSError as error:
                log.warning("state_not_written", path=str(self._path), error=str(error))

    def _replace(self, path: Path, state: State) -> None:
        """Write it so that a reader sees the old file or the new one, never half of one."""
        header = msgspec.json.encode(_Header(self._kind, state.revision, hashlib.sha256(state.body).hexdigest()))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")  # readable by us alone
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(header + b"\n" + state.body)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _read(self, path: Path) -> State:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid not in (os.geteuid(), 0):
                raise StateUnusable("it belongs to another user")
            if status.st_size > _MOST_BYTES:
                raise StateUnusable(f"it is larger than {_MOST_BYTES:,} bytes")
            head, _, body = file.read().partition(b"\n")
        header = self._header(head)
        if hashlib.sha256(body).hexdigest() != header.sha256:
            raise StateUnusable("it is truncated or damaged")
        return State(header.revision, body)

    def _revision_on_disk(self, path: Path) -> int | None:
        try:
            with path.open("rb") as file:
                return self._header(file.readline(_LONGEST_HEADER)).revision
        except (OSError, StateUnusable):
            return None

    def _header(self, head: bytes) -> _Header:
        try:
            header = msgspec.json.decode(head, type=_Header)
        except msgspec.DecodeError as error:
            raise StateUnusable("it is no state of ours") from error
        if header.kind != self._kind:
            raise StateUnusable(f"it is {header.kind[:40]!r}, not {self._kind!r}")
        return header
