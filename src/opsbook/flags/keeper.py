"""Keeps the newest snapshot on disk for bad days, off the way of those who evaluate.

The first state is written at once. A later one is written within a second, at a random moment:
fifty workers share the file and hear of a change together, so the first writes and the rest find it done.
"""

from __future__ import annotations

import threading
from pathlib import Path

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.flags.snapshot import EMPTY, Snapshot, SnapshotUnusable, read_snapshot, write_snapshot

_LATEST_SECONDS = 1.0

log = get_logger(__name__)


class Keeper:
    """One process's hand on the file; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._newest: Snapshot | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def remembered(self) -> Snapshot:
        """What is on disk; the empty snapshot where nothing usable is."""
        if self._path is None:
            return EMPTY
        try:
            return read_snapshot(self._path)
        except FileNotFoundError:
            return EMPTY
        except (OSError, SnapshotUnusable) as error:
            log.warning("flag_snapshot_unusable", error=str(error))
            return EMPTY

    def keep(self, snapshot: Snapshot) -> None:
        """Have this on disk within a second, unless a newer one comes first."""
        if self._path is None:
            return
        first, self._newest = self._newest is None, snapshot
        if first:
            self._write()
        elif self._timer is None:
            self._timer = threading.Timer(jitter(0, _LATEST_SECONDS), self._write)
            self._timer.daemon = True
            self._timer.start()

    def flush(self) -> None:
        """Write now what waits for its moment."""
        if self._timer is not None:
            self._timer.cancel()
            self._write()

    def forget_thread(self) -> None:
        """In a forked child: the parent's timer is not here."""
        self._timer = None
        self._lock = threading.Lock()

    def _write(self) -> None:
        with self._lock:
            # Before the newest is taken: a change that comes from here on has a timer of its own.
            self._timer = None
            if self._path is not None and self._newest is not None:
                try:
                    write_snapshot(self._path, self._newest)
                except OSError as error:
                    log.warning("flag_snapshot_not_written", error=str(error))
