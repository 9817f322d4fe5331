"""Keeps a process's limits at what the table `rate_limits` says, and tells it what the code declares."""

from __future__ import annotations

import math
from typing import Any

from psycopg.types.json import Jsonb

from opsbook.core.bus import NEW_CONNECTION, Bus, SyncConnection
from opsbook.performance.limits.limiter import RateLimits
from opsbook.performance.limits.policy import SPANS, RateLimit
from opsbook.performance.limits.store import QUERIES
from opsbook.performance.limits.terms import Override


class LimitRegister:
    """One process's side of the table. With the ops database gone, what was last read stays in force."""

    def __init__(self, limits: RateLimits, bus: Bus) -> None:
        self._limits = limits
        self._declared: dict[str, RateLimit] = {}
        bus.subscribe("limits", self._read)

    def declare(self, connection: SyncConnection) -> None:
        """Write what the code says, where this process has not yet."""
        policies = dict(self._limits.policies)
        if policies != self._declared:
            rows = [{"policy": policy.name, "declared": _written(policy)} for policy in policies.values()]
            connection.execute(QUERIES["declare"], {"policies": Jsonb(rows)})
            self._declared = policies

    def _read(self, connection: SyncConnection, revision: int) -> None:
        if revision == NEW_CONNECTION:
            self._declared = {}  # the database may be another one, restored or new
        self.declare(connection)
        now = self._limits.clock()
        rows = connection.execute(QUERIES["overrides"]).fetchall()
        self._limits.override({row[0]: _override(row, now) for row in rows})


def _override(row: tuple[Any, ...], now: float) -> Override:
    _, *limits, mode, seconds_left = row
    ends_at = math.inf if seconds_left is None else now + float(seconds_left)
    named = zip(SPANS, limits, strict=True)
    return Override({name: limit for name, limit in named if limit is not None}, mode, ends_at)


def _written(policy: RateLimit) -> dict[str, Any]:
    key = policy.key if isinstance(policy.key, str) else "function"
    return {**policy.limits, "key": key, "when_away": policy.when_away}
