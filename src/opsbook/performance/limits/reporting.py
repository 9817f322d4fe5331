"""Reports every ten seconds what a process has counted, and that it counts; learns how many others do."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from opsbook.core.bus import SyncConnection
from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import guarded, parameters
from opsbook.performance.limits.counts import Tally
from opsbook.performance.limits.limiter import RateLimits
from opsbook.performance.limits.register import LimitRegister
from opsbook.performance.limits.store import QUERIES

_EVERY_SECONDS = 10.0
_MOST_REFUSED = 100
_MOST_NEAR = 20

log = get_logger(__name__)


class Reporter:
    """One process's reports, from a thread of its own; requests never wait for it."""

    def __init__(self, url: str, limits: RateLimits, register: LimitRegister) -> None:
        self._url = url
        self._limits = limits
        self._register = register
        self._process = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="opsbook limits", daemon=True)
        self._is_failing = False
        self._has_warned = False

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """Report what is left, and sign off."""
        self._stop.set()
        self._try("gone")

    def report(self) -> None:
        """Report now; raises nothing."""
        self._try("here")

    def _run(self) -> None:
        # At different moments, so that fifty workers do not all come at once.
        wait = jitter(0, 1)
        while not self._stop.wait(wait):
            self.report()
            wait = _EVERY_SECONDS

    def _try(self, last_word: str) -> None:
        if not self._limits.policies:
            return
        try:
            with psycopg.connect(guarded(self._url), **parameters("opsbook limits")) as connection:
                self._send(connection, self._limits.counts.take())
                getattr(self, f"_{last_word}")(connection)
            self._is_failing = False
        except Exception as error:
            # What was counted is lost; limits themselves need no database. Whatever it is, the next report is tried.
            if not self._is_failing:
                log.warning("rate_limits_not_reported", error=type(error).__name__)
            self._is_failing = True

    def _send(self, connection: SyncConnection, tallies: Mapping[str, Tally]) -> None:
        # Counts may be lost in a crash anyway; they must not wait for the disk.
        connection.execute("set local synchronous_commit = off")
        if tallies:
            counts = [{"policy": p, "admitted": t.admitted, "refused": t.refused} for p, t in tallies.items()]
            connection.execute(QUERIES["add_counts"], {"counts": Jsonb(counts)})
        if keys := [key for policy, tally in tallies.items() for key in _keys(policy, tally)]:
            connection.execute(QUERIES["add_keys"], {"keys": Jsonb(keys)})

    def _here(self, connection: SyncConnection) -> None:
        self._register.declare(connection)
        row = connection.execute(
            QUERIES["here"],
            {
                "process": self._process,
                "policies": sorted(self._limits.policies),
                "storage": self._limits.storage,
            },
        ).fetchone()
        assert row is not None
        self._limits.meet(row[0])
        if self._limits.storage == "memory" and self._limits.workers > 1 and not self._has_warned:
            self._has_warned = True
            log.warning("rate_limits_in_memory_of_several_workers", workers=self._limits.workers)

    def _gone(self, connection: SyncConnection) -> None:
        connection.execute(QUERIES["gone"], {"process": self._process})


def _keys(policy: str, tally: Tally) -> Iterable[dict[str, Any]]:
    """The keys that stood out: those refused most, and those nearest to the limit."""
    refused = dict(tally.refused_keys.most_common(_MOST_REFUSED))
    near = dict(sorted(tally.near_keys.items(), key=lambda each: -each[1])[:_MOST_NEAR])
    for key in {**refused, **near}:
        used = tally.near_keys.get(key, 0.0)
        yield {"policy": policy, "key": key, "refused": refused.get(key, 0), "used": used}
