"""Tells the ops database every five seconds what this process's pool does."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import guarded, parameters
from opsbook.core.queries import load_queries
from opsbook.database.pool.address import address_of_pool
from opsbook.database.pool.meter import PoolMeter, Reading

EVERY_SECONDS = 5.0

_QUERIES = load_queries("opsbook.database.pool")
_FAREWELL_SECONDS = 1.0

log = get_logger(__name__)


class PoolReporter:
    """One process's reports, from a thread and over a connection of their own: the service waits for none of it.

    What could not be reported is in the next report. A forked child reports nothing until it is started there.
    """

    def __init__(self, meter: PoolMeter, ops_url: str) -> None:
        self._meter = meter
        self._url = ops_url
        self._failing = False
        self.forget_thread()
        _alive.add(self)

    def start(self) -> None:
        """Begin to report, the first time at once; does nothing where this process already does."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="opsbook pool", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, and take this process's row along; waits for that no longer than a second."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_FAREWELL_SECONDS)

    def report(self) -> None:
        """Tell how the pool stands, and what it did since the last report; never raises."""
        with self._lock:
            reading, now = self._meter.read(), time.monotonic()
            if self._try(lambda connection: self._write(connection, reading, now - self._told_at)):
                self._told, self._told_at = reading, now

    def forget_thread(self) -> None:
        """In a forked child: another process, of whose pool nothing was told yet."""
        self._process = uuid.uuid4()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: Reading | None = None
        self._told_at = time.monotonic()

    def _run(self) -> None:
        stop = self._stop
        self.report()
        # At different moments, so that fifty workers do not all come at once.
        wait = jitter(0, EVERY_SECONDS)
        while not stop.wait(wait):
            self.report()
            wait = EVERY_SECONDS
        self.report()
        self._try(lambda connection: connection.execute(_QUERIES["leave"], {"process": self._process}))

    def _try(self, work: Any) -> bool:
        try:
            with psycopg.connect(guarded(self._url), **parameters("opsbook pool")) as connection:
                # A report may be lost in a crash; it must not wait for the disk.
                connection.execute("set local synchronous_commit = off")
                work(connection)
        except psycopg.Error as error:
            if not self._failing:
                log.warning("pool_not_reported", error=type(error).__name__)
            self._failing = True
            return False
        self._failing = False
        return True

    def _write(self, connection: psycopg.Connection[Any], reading: Reading, seconds: float) -> None:
        database = str(address_of_pool(self._meter.pool) or "unknown")
        known = {"process": self._process, "database": database}
        connection.execute(_QUERIES["report"], {**known, **_identity(), **_standing(reading)})
        done = _done(reading, self._told)
        if done["arrivals"] or done["holds"].obj or reading.most_checked_out:
            connection.execute(_QUERIES["sample"], {**known, "seconds": max(seconds, 0.001), **done})


def _identity() -> Mapping[str, object]:
    called = Path(sys.argv[0])
    program = called.parent.name if called.name == "__main__.py" else called.name
    return {"host": socket.gethostname(), "pid": os.getpid(), "program": program or "python"}


def _standing(reading: Reading) -> Mapping[str, object]:
    status = reading.status
    return {
        "pool_size": status.pool_size if status else None,
        "max_overflow": status.max_overflow if status else None,
        "checked_out": status.checked_out if status else reading.checked_out,
        "checked_in": status.checked_in if status else None,
        "waiting": reading.waiting,
        "longest_wait_seconds": reading.longest_wait_seconds,
        "arrivals": reading.arrivals,
        "timeouts": reading.timeouts,
        "failures": reading.failures,
        "waited_seconds": reading.waited_seconds,
        "held_seconds": reading.held_seconds,
        "holders": Jsonb([{"held_seconds": each.held_seconds, "stack": each.stack} for each in reading.holders]),
    }


def _done(reading: Reading, before: Reading | None) -> dict[str, Any]:
    """What came between two readings; all of the later one where there is none before."""
    longest = max(
        filter(None, (reading.longest_ended, *reading.holders[:1])), key=lambda each: each.held_seconds, default=None
    )
    return {
        "capacity": reading.status.capacity if reading.status else None,
        "most_checked_out": reading.most_checked_out,
        "most_wanted": reading.most_wanted,
        "arrivals": max(0, reading.arrivals - (before.arrivals if before else 0)),
        "timeouts": reading.timeouts - (before.timeouts if before else 0),
        "failures": reading.failures - (before.failures if before else 0),
        "held_seconds": reading.held_seconds - (before.held_seconds if before else 0.0),
        "waits": Jsonb(_since(reading.waits, before.waits if before else {})),
        "holds": Jsonb(_since(reading.holds, before.holds if before else {})),
        "longest_hold_seconds": longest.held_seconds if longest else None,
        "longest_hold_stack": Jsonb(longest.stack) if longest else None,
    }


def _since(counts: Mapping[int, int], before: Mapping[int, int]) -> Mapping[str, int]:
    grown = ((bucket, count - before.get(bucket, 0)) for bucket, count in counts.items())
    return {str(bucket): count for bucket, count in grown if count > 0}


_alive: weakref.WeakSet[PoolReporter] = weakref.WeakSet()


def _forget_threads() -> None:
    for reporter in tuple(_alive):
        reporter.forget_thread()


os.register_at_fork(after_in_child=_forget_threads)
