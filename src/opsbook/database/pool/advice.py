"""What to change about pools that run short, from what was measured; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from opsbook.database.pool.sizing import connections_needed, offered_load

LONG_HOLD_SECONDS = 5.0
"""A connection that is kept for so long is kept over something other than a query of a request."""
NOTICEABLE_WAIT_SECONDS = 0.010
"""Below that, what the slowest twentieth waits is what opening a connection or a busy processor costs."""


class Kind(StrEnum):
    """What is to be done."""

    RAISE = "raise"
    SHORTEN = "shorten"
    USE_POOLER = "use_pooler"


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do, and why."""

    kind: Kind
    target: str
    """The process it is about, or the database."""
    text: str
    pool_size: int | None = None
    """What `database_pool_size` should be, where that is the advice."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one process asks of its pool."""

    name: str
    program: str
    """What it runs; all processes of one program have the same settings."""
    pool_size: int
    capacity: int | None
    """The most connections that it may open; None when there is no limit."""
    arrivals_per_second: float
    """In the busiest minutes: no more than a twentieth of them were busier."""
    hold_seconds: float | None
    """How long a connection is kept on average; None when none was given back yet."""
    wait_p95_seconds: float | None
    timeouts: int
    most_checked_out: int = 0
    most_wanted: int = 0
    """The most who had a connection or waited for one at once."""
    longest_hold_seconds: float = 0.0
    longest_holder: str | None = None
    """Where in the code the connection was taken that was kept for longest."""

    @property
    def load(self) -> float:
        """Connections in use on average, in the busiest minutes."""
        return offered_load(self.arrivals_per_second, self.hold_seconds or 0.0)

    @property
    def needed(self) -> int:
        """Connections with which no more than a twentieth of those who ask must wait, in the busiest minutes.

        Where they come in bursts, and not because somebody kept a connection for long, as many as ever asked at once.
        """
        by_load = connections_needed(self.load)
        in_bursts = self.suffers and not self.holds_long
        return max(by_load, self.most_wanted) if in_bursts else by_load

    @property
    def suffers(self) -> bool:
        """Whether those who ask were refused, or waited noticeably because every connection was out."""
        exhausted = self.capacity is not None and self.most_checked_out >= self.capacity
        return exhausted and (self.timeouts > 0 or (self.wait_p95_seconds or 0.0) > NOTICEABLE_WAIT_SECONDS)

    @property
    def holds_long(self) -> bool:
        return self.longest_hold_seconds >= LONG_HOLD_SECONDS


@dataclass(frozen=True, slots=True)
class Room:
    """What a database server has to give."""

    max_connections: int
    reserved: int
    """Kept back for superusers and for roles with `pg_use_reserved_connections`."""
    used_by_others: int
    """Taken by whoever is none of the processes that report."""

    @property
    def for_pools(self) -> int:
        """What all pools may open together."""
        return max(0, self.max_connections - self.reserved - self.used_by_others)


def advise(processes: Sequence[Demand], room: Room | None, database: str = "the database") -> Sequence[Advice]:
    """What to do about the pools on one database, a program at a time; nothing where all is well.

    Args:
        processes: Those that report.
        room: What the server has to give; None where that is not known, or a pooler stands before it.
        database: As the advice calls it.
    """
    programs = [list(group) for _, group in groupby(sorted(processes, key=_program), key=_program)]
    found = [_shorten(max(each, key=_longest_hold)) for each in programs if any(process.holds_long for process in each)]
    wanted = sum(len(each) * max(map(_wish, each)) for each in programs)
    if room is not None and wanted > room.for_pools:
        return [*found, _use_pooler(processes, wanted, room, database)]
    short = [[process for process in each if _runs_short(process)] for each in programs]
    return [*found, *(_raise(max(each, key=_needed)) for each in short if each)]


def _program(process: Demand) -> str:
    return process.program


def _longest_hold(process: Demand) -> float:
    return process.longest_hold_seconds


def _needed(process: Demand) -> int:
    return process.needed


def _shorten(process: Demand) -> Advice:
    where = f", taken at {process.longest_holder}" if process.longest_holder else ""
    return Advice(
        Kind.SHORTEN,
        process.name,
        f"shorten the holder: {process.name} kept a connection for {process.longest_hold_seconds:.0f} s{where};"
        " give it back before anything slow is waited for",
    )


def _runs_short(process: Demand) -> bool:
    return process.capacity is not None and process.needed > process.capacity


def _wish(process: Demand) -> int:
    """The connections that the process may come to open, once it keeps what it needs and may still overflow."""
    if process.capacity is None:
        return max(process.needed, process.pool_size)
    overflow = max(0, process.capacity - process.pool_size)
    return process.needed + overflow if _runs_short(process) else process.capacity


def _raise(process: Demand) -> Advice:
    refused = f" and refused {process.timeouts} times" if process.timeouts else ""
    why = _load(process) if connections_needed(process.load) == process.needed else _burst(process)
    return Advice(
        Kind.RAISE,
        process.name,
        f"raise database_pool_size to {process.needed}: {process.name} may open {process.capacity}{refused}; {why}",
        pool_size=process.needed,
    )


def _load(process: Demand) -> str:
    return (
        f"{process.arrivals_per_second:.1f} connections a second are asked for and kept"
        f" {_milliseconds(process.hold_seconds)}, so that {process.load:.1f} are in use on average"
    )


def _burst(process: Demand) -> str:
    return f"up to {process.most_wanted} were wanted at once"


def _use_pooler(processes: Sequence[Demand], wanted: int, room: Room, database: str) -> Advice:
    return Advice(
        Kind.USE_POOLER,
        database,
        f"too many processes for max_connections: {len(processes)} may open {wanted} connections together, of"
        f" {room.max_connections} there are {room.for_pools} left for them; make the pools smaller,"
        " run fewer processes, or put a pooler such as PgBouncer in transaction mode before the server",
    )


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.0f} ms"
