"""Keeps a process's limits at what the table `rate_limits` says, and tells it what the code declares.

With the ops database gone the last state stays in force, after a restart from the file on disk; what ends, ends by
this process's clock.
"""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from opsbook.core.bus import NEW_CONNECTION, Bus, SyncConnection
from opsbook.core.log import get_logger
from opsbook.core.state_file import State, StateFile
from opsbook.performance.limits.limiter import RateLimits
from opsbook.performance.limits.policy import SPANS, RateLimit
from opsbook.performance.limits.store import QUERIES
from opsbook.performance.limits.terms import Override, Overrides

log = get_logger(__name__)


class LimitRegister:
    """One process's side of the table."""

    def __init__(self, limits: RateLimits, bus: Bus, file: Path | None = None) -> None:
        """Follow the table by the bus.

        Args:
            limits: What obeys it.
            bus: The process's ear on the ops database.
            file: Where the last state is kept for a start without the database; nowhere where left out.
        """
        self._limits = limits
        self._declared: dict[str, RateLimit] = {}
        self._file = StateFile(file, "rate limits 1")
        limits.override(_decoded(self._file.read(), limits.clock() - time.time()))
        bus.subscribe("limits", self._read)
        _alive.add(self)

    def declare(self, connection: SyncConnection) -> None:
        """Write what the code says, where this process has not yet."""
        policies = dict(self._limits.policies)
        if policies != self._declared:
            rows = [{"policy": policy.name, "declared": _written(policy)} for policy in policies.values()]
            connection.execute(QUERIES["declare"], {"policies": Jsonb(rows)})
            self._declared = policies

    def flush(self) -> None:
        """Write down now what is in force."""
        self._file.flush()

    def forget_threads(self) -> None:
        """In a forked child."""
        self._file.forget_thread()

    def _read(self, connection: SyncConnection, revision: int) -> None:
        if revision == NEW_CONNECTION:
            self._declared = {}  # the database may be another one, restored or new
        self.declare(connection)
        now = self._limits.clock()
        ahead = now - time.time()
        newest = connection.execute(QUERIES["newest_revision"]).fetchone()
        rows = connection.execute(QUERIES["overrides"]).fetchall()
        overrides = {row[0]: _override(row, now) for row in rows}
        self._limits.override(overrides)
        self._file.keep(newest[0] if newest else 0, lambda: _encoded(overrides, ahead))


def _override(row: tuple[Any, ...], now: float) -> Override:
    _, *limits, mode, seconds_left = row
    ends_at = math.inf if seconds_left is None else now + float(seconds_left)
    named = zip(SPANS, limits, strict=True)
    return Override({name: limit for name, limit in named if limit is not None}, mode, ends_at)


def _written(policy: RateLimit) -> dict[str, Any]:
    key = policy.key if isinstance(policy.key, str) else "function"
    return {**policy.limits, "key": key, "when_away": policy.when_away}


def _encoded(overrides: Overrides, ahead: float) -> bytes:
    """For a file, which another process reads: its clock counts from another moment than this one's."""
    return msgspec.msgpack.encode(
        {name: Override(each.limits, each.mode, each.ends_at - ahead) for name, each in overrides.items()}
    )


def _decoded(state: State | None, ahead: float) -> Overrides:
    if state is None:
        return {}
    try:
        kept: Mapping[str, Override] = msgspec.msgpack.decode(state.body, type=dict[str, Override])
    except msgspec.DecodeError as error:
        log.warning("rate_limits_unreadable", error=str(error))
        return {}
    return {name: Override(each.limits, each.mode, each.ends_at + ahead) for name, each in kept.items()}


_alive: weakref.WeakSet[LimitRegister] = weakref.WeakSet()


def _forget_threads() -> None:
    for register in tuple(_alive):
        register.forget_threads()


os.register_at_fork(after_in_child=_forget_threads)
