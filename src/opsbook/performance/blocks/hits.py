"""Counts what a process refuses, by block, and adds it to the table every ten seconds."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.types.json import Jsonb

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import guarded, parameters
from opsbook.core.queries import load_queries

_QUERIES = load_queries("opsbook.performance.blocks")
_EVERY_SECONDS = 10.0

log = get_logger(__name__)


@dataclass(slots=True)
class _Count:
    hits: int = 0
    last_at: float = 0.0


class Hits:
    """One process's counts, and the thread that reports them.

    Counting takes no lock: threads that count in the same instant may lose a count to one another. A process that
    is killed loses those of its last ten seconds. A report that fails is added to the next.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._counts: dict[str, _Count] = {}
        self._failing = False
        self._prepare()

    def count(self, network: str, now: float) -> None:
        """One more request that this block refused."""
        count = self._counts.setdefault(network, _Count())
        count.hits += 1
        count.last_at = now

    def start(self) -> None:
        """Begin to report; does nothing where this process already does."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="opsbook block hits", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Report what is left, and end; `start` begins anew."""
        self._stop.set()
        self.report()
        self._prepare()

    def report(self) -> None:
        """Add what was counted since the last time; never raises."""
        with self._lock:
            taken, self._counts = self._counts, {}
            if not taken:
                return
            try:
                self._add(taken)
                self._failing = False
            except Exception as error:
                # The service must not suffer for want of a count; it is tried again with the next.
                for network, count in taken.items():
                    self._counts.setdefault(network, _Count(0, count.last_at)).hits += count.hits
                if not self._failing:
                    log.warning("block_hits_not_reported", error=type(error).__name__)
                self._failing = True

    def forget_thread(self) -> None:
        """In a forked child: start from zero, for the parent reports what it has counted."""
        self._counts = {}
        self._prepare()

    def _add(self, counts: Mapping[str, _Count]) -> None:
        rows = [
            {
                "network": network,
                "hits": count.hits,
                "last_hit_at": datetime.fromtimestamp(count.last_at, UTC).isoformat(),
            }
            for network, count in counts.items()
        ]
        # A connection of its own: the bus must not wait for it.
        with psycopg.connect(guarded(self._url), **parameters("opsbook block hits")) as connection:
            # Counts may be lost in a crash anyway; they must not wait for the disk.
            connection.execute("set local synchronous_commit = off")
            connection.execute(_QUERIES["count_hits"], {"counts": Jsonb(rows)})

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def _run(self) -> None:
        # At different moments, so that fifty workers do not all come at once.
        wait = jitter(0, _EVERY_SECONDS)
        stop = self._stop
        while not stop.wait(wait):
            self.report()
            wait = _EVERY_SECONDS
