"""Purges that could not be told yet, while callers add to them and a thread carries them away."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from opsbook.performance.cache.purges import Purge

_MOST = 1_000


class Backlog:
    """In the order in which they came; beyond a thousand, everything is to be purged instead."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.purges: Sequence[Purge] = ()
        """Replaced whole, so that it can be read while it changes."""

    def __bool__(self) -> bool:
        return bool(self.purges)

    def add(self, purge: Purge) -> None:
        """Have a purge told once that can be done."""
        with self._lock:
            self.purges = (*self.purges, purge) if len(self.purges) < _MOST else (Purge("all"),)

    def told(self, purges: Sequence[Purge]) -> None:
        """Strike out those that stood first, unless one of everything has taken their place meanwhile."""
        with self._lock:
            first = self.purges[: len(purges)]
            if len(first) == len(purges) and all(one is other for one, other in zip(first, purges, strict=True)):
                self.purges = self.purges[len(purges) :]

    def concern(self, function: str) -> bool:
        """Whether one of them may concern a function."""
        return any(purge.target == function or purge.kind in ("all", "tag") for purge in self.purges)
