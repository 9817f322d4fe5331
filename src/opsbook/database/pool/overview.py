"""Everything there is to know about the pools at once: processes, saturation, the server, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from opsbook.core.errors import Unavailable
from opsbook.core.postgres.connect import Connection
from opsbook.database.pool import store
from opsbook.database.pool.address import address_of_url
from opsbook.database.pool.advice import Advice, Demand, Room, advise
from opsbook.database.pool.histogram import quantiles
from opsbook.database.pool.meter import Holder
from opsbook.database.pool.pooler import Mode, Pooler
from opsbook.database.pool.server import Server, look_at_server
from opsbook.database.pool.store import Activity, Moment, Process

GONE_AFTER_SECONDS = 20.0
"""Four reports missed: the process was killed, or cannot reach the ops database."""
_QUANTILES = (0.5, 0.95, 0.99)
_FRAMES_TOLD = 3
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Durations:
    """How a duration is spread, in seconds; None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class ProcessPool:
    """One process's pool: how it stands, and what was asked of it in the period."""

    id: UUID
    name: str
    host: str
    pid: int
    program: str
    database: str
    gone: bool
    """It has not reported for twenty seconds."""
    started_at: datetime
    reported_at: datetime
    age_seconds: float
    """Of this report."""
    pool_size: int | None
    max_overflow: int | None
    capacity: int | None
    """None when there is no limit."""
    checked_out: int
    checked_in: int | None
    waiting: int
    longest_wait_seconds: float
    holders: Sequence[Holder]
    """Who has had a connection for longest, now."""
    arrivals: int
    arrivals_per_second: float
    """In the busiest minutes."""
    timeouts: int
    failures: int
    most_checked_out: int
    most_wanted: int
    load: float
    """Connections in use on average in the busiest minutes, by Little's law."""
    waits: Durations
    holds: Durations
    longest_hold: Holder | None
    """Who kept one for longest in the period."""


@dataclass(frozen=True, slots=True)
class PoolOverview:
    """The pools of all processes, the server they share, and what to change."""

    period_seconds: float
    processes: Sequence[ProcessPool]
    saturation: Sequence[Moment]
    server: Server | None
    """The service's server; None where it is not named, or does not answer."""
    pooler: Pooler | None
    """What stands before it."""
    advice: Sequence[Advice]


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """The database that the service's pools are on, as it looks from here."""

    address: str | None
    server: Server | None
    pooler: Pooler | None


async def service_database(url: str | None, pooler: Pooler | None) -> ServiceDatabase:
    """What the service's server says now; takes a few seconds where it is slow, so ask before you take a connection.

    Args:
        url: The service database, where it is known.
        pooler: What is known to stand before it.
    """
    if url is None:
        return ServiceDatabase(None, None, pooler)
    address = str(address_of_url(url))
    try:
        return ServiceDatabase(address, await look_at_server(url), pooler)
    except Unavailable:
        # Health says that the database is away; what the processes reported is worth showing all the more.
        return ServiceDatabase(address, None, pooler)


async def pool_overview(connection: Connection, service: ServiceDatabase, period: timedelta = _HOUR) -> PoolOverview:
    """What the processes reported in the period, and what follows from it.

    Args:
        connection: On the ops database.
        service: What `service_database` found.
        period: How far back.
    """
    known = await store.processes(connection)
    did = await store.activities(connection, period)
    return PoolOverview(
        period_seconds=period.total_seconds(),
        processes=[_pool(process, did.get(process.id, Activity())) for process in known],
        saturation=await store.saturation(connection, period),
        server=service.server,
        pooler=service.pooler,
        advice=_advice([process for process in known if not _is_gone(process)], did, service),
    )


def _is_gone(process: Process) -> bool:
    return process.silent_seconds > GONE_AFTER_SECONDS


def _pool(process: Process, activity: Activity) -> ProcessPool:
    status = process.status
    return ProcessPool(
        id=process.id,
        name=process.name,
        host=process.host,
        pid=process.pid,
        program=process.program,
        database=process.database,
        gone=_is_gone(process),
        started_at=process.started_at,
        reported_at=process.reported_at,
        age_seconds=process.silent_seconds,
        pool_size=status.pool_size if status else None,
        max_overflow=status.max_overflow if status else None,
        capacity=status.capacity if status else None,
        checked_out=process.checked_out,
        checked_in=status.checked_in if status else None,
        waiting=process.waiting,
        longest_wait_seconds=process.longest_wait_seconds,
        holders=process.holders,
        arrivals=activity.arrivals,
        arrivals_per_second=activity.arrivals_per_second,
        timeouts=activity.timeouts,
        failures=activity.failures,
        most_checked_out=activity.most_checked_out,
        most_wanted=activity.most_wanted,
        load=_demand(process, activity).load,
        waits=Durations(*quantiles(activity.waits, _QUANTILES)),
        holds=Durations(*quantiles(activity.holds, _QUANTILES)),
        longest_hold=activity.longest_hold,
    )


def _demand(process: Process, activity: Activity) -> Demand:
    ended = sum(activity.holds.values())
    longest, status = activity.longest_hold, process.status
    return Demand(
        name=process.name,
        program=process.program,
        pool_size=status.pool_size if status else 0,
        capacity=status.capacity if status else None,
        arrivals_per_second=activity.arrivals_per_second,
        hold_seconds=activity.held_seconds / ended if ended else None,
        wait_p95_seconds=quantiles(activity.waits, [0.95])[0],
        timeouts=activity.timeouts,
        most_checked_out=activity.most_checked_out,
        most_wanted=activity.most_wanted,
        longest_hold_seconds=longest.held_seconds if longest else 0.0,
        longest_holder=" ← ".join(longest.stack[:_FRAMES_TOLD]) or None if longest else None,
    )


def _advice(processes: Sequence[Process], did: Mapping[UUID, Activity], service: ServiceDatabase) -> Sequence[Advice]:
    """Advice for the pools on each database; the server's limit is known of the service's alone."""
    found: list[Advice] = []
    for database in sorted({process.database for process in processes}):
        here = [process for process in processes if process.database == database]
        demands = [_demand(process, did.get(process.id, Activity())) for process in here]
        found += advise(demands, _room(here, service) if database == service.address else None, database)
    return found


def _room(processes: Sequence[Process], service: ServiceDatabase) -> Room | None:
    # A pooler in transaction mode gives many clients few connections: the server's limit does not bind them.
    server = service.server
    if server is None or (service.pooler and service.pooler.mode is Mode.TRANSACTION):
        return None
    open_by_pools = sum(each.checked_out + (each.status.checked_in if each.status else 0) for each in processes)
    return Room(server.max_connections, server.reserved, max(0, server.used - open_by_pools))
