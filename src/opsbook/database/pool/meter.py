"""Measures one pool from inside its process: who asks, how long they wait, how long they keep what they get."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import FrameType

from opsbook.database.pool.histogram import Histogram
from opsbook.database.pool.stacks import Stack, captured, told
from opsbook.database.pool.status import PoolStatus, pool_status

_HOLDERS_TOLD = 5
_NONE_ENDED: tuple[float, Stack] = (0.0, ((), ()))


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who has a connection now."""

    held_seconds: float
    stack: Sequence[str]
    """Where it was taken, the innermost frame of the service's own code first; files, lines and functions alone."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a pool has done since its process began to measure, and how it stands."""

    status: PoolStatus | None
    """None for a pool that keeps no count."""
    checked_out: int
    """Connections that are out, by our own count."""
    waiting: int
    """How many have asked and wait."""
    longest_wait_seconds: float
    """Of those who wait now."""
    most_checked_out: int
    """The most that were out at once since the last reading."""
    most_wanted: int
    """The most who had a connection or wanted one at once, since the last reading."""
    arrivals: int
    """How often a connection was asked for, also in vain."""
    timeouts: int
    """How often the pool was exhausted for so long that it refused."""
    failures: int
    """How often there was no connection for another reason: a database that is away."""
    waits: Mapping[int, int]
    """How long it took to get one, by the buckets of `histogram`."""
    waited_seconds: float
    holds: Mapping[int, int]
    """How long those that were given back had been kept."""
    held_seconds: float
    holders: Sequence[Holder]
    """Those who have had theirs for longest."""
    longest_ended: Holder | None
    """Who kept one for longest, of those that gave it back since the last reading."""


class PoolMeter:
    """Counts what a pool does; `instrument` calls it, whoever reports reads it.

    Takes no lock, for a connection can be given back by the garbage collector, in the midst of anything:
    what must stay exact (who waits, who holds) is in dictionaries, whose single operations are whole.
    """

    def __init__(self, pool: object) -> None:
        self.pool = pool
        self.forget()
        _alive.add(self)

    def asked(self) -> int:
        """Somebody asks for a connection; gives what `got` or `refused` then want."""
        ticket = next(self._tickets)
        self._waiting[ticket] = time.perf_counter()
        if (wanted := len(self._waiting) + len(self._held)) > self._most_wanted:
            self._most_wanted = wanted
        return ticket

    def got(self, ticket: int, connection: int, frame: FrameType | None) -> None:
        """They have it.

        Args:
            ticket: What `asked` gave.
            connection: Names the connection among those that are out.
            frame: Where they asked.
        """
        now = time.perf_counter()
        self._waits.add(now - self._waiting.pop(ticket, now))
        self._held[connection] = (now, captured(frame))
        if (out := len(self._held)) > self._most:
            self._most = out

    def refused(self, ticket: int, *, exhausted: bool) -> None:
        """They have waited in vain."""
        now = time.perf_counter()
        self._waits.add(now - self._waiting.pop(ticket, now))
        if exhausted:
            self._timeouts += 1
        else:
            self._failures += 1

    def given_back(self, connection: int) -> None:
        """The connection is free again, or gone; nothing happens where it was not out by our count."""
        held = self._held.pop(connection, None)
        if held is not None:
            since, stack = held
            seconds = time.perf_counter() - since
            self._holds.add(seconds)
            if seconds > self._longest_ended[0]:
                self._longest_ended = (seconds, stack)

    def read(self) -> Reading:
        """Everything so far. One reader at a time, for the high-water mark begins anew."""
        now = time.perf_counter()
        held, waiting = list(self._held.values()), list(self._waiting.values())
        most, self._most = self._most, len(self._held)
        most_wanted, self._most_wanted = self._most_wanted, len(self._waiting) + len(held)
        ended, self._longest_ended = self._longest_ended, _NONE_ENDED
        self._arrivals = max(self._arrivals, sum(self._waits.counts().values()) + len(waiting))
        return Reading(
            status=pool_status(self.pool),
            checked_out=len(held),
            waiting=len(waiting),
            longest_wait_seconds=now - min(waiting, default=now),
            most_checked_out=max(most, len(held)),
            most_wanted=max(most_wanted, len(waiting) + len(held)),
            arrivals=self._arrivals,
            timeouts=self._timeouts,
            failures=self._failures,
            waits=self._waits.counts(),
            waited_seconds=self._waits.total_seconds,
            holds=self._holds.counts(),
            held_seconds=self._holds.total_seconds,
            holders=_longest(held, now),
            longest_ended=Holder(ended[0], told(ended[1])) if ended[0] else None,
        )

    def forget(self) -> None:
        """Begin anew; in a forked child, for what its parent holds and has counted is the parent's."""
        self._tickets = count()
        self._waiting: dict[int, float] = {}
        self._held: dict[int, tuple[float, Stack]] = {}
        self._longest_ended: tuple[float, Stack] = _NONE_ENDED
        self._waits, self._holds = Histogram(), Histogram()
        self._most = self._most_wanted = self._arrivals = self._timeouts = self._failures = 0


def _longest(held: Sequence[tuple[float, Stack]], now: float) -> Sequence[Holder]:
    oldest = sorted(held, key=lambda each: each[0])[:_HOLDERS_TOLD]
    return [Holder(now - since, told(stack)) for since, stack in oldest]


_alive: weakref.WeakSet[PoolMeter] = weakref.WeakSet()


def _forget_in_child() -> None:
    for meter in tuple(_alive):
        meter.forget()


os.register_at_fork(after_in_child=_forget_in_child)
