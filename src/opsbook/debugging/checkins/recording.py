"""Writes check-ins and what follows from them: a run begins, ends, is missed, or goes on for too long."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.rows import class_row

from opsbook.core.errors import NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.checkins.arrival import USUAL_PROJECT, Arrival, Expectation
from opsbook.debugging.checkins.monitor import Monitor, State, Status
from opsbook.debugging.checkins.store import list_monitors

MOST_MONITORS: Final = 1_000
"""Of one project: whoever has its public key can make more."""
_REPORTER: Final = "check-in"
_QUERIES: Final = load_queries("opsbook.debugging.checkins")
Key = tuple[int, str, str]


async def record(connection: Connection, arrivals: Sequence[Arrival]) -> Sequence[bool | None]:
    """Write check-ins in the order in which they came, inside the caller's transaction.

    Gives of each whether it told something new; None for one whose project has no room for another monitor.
    """
    monitors = await _held(connection, {arrival.key for arrival in arrivals})
    outcomes: list[bool | None] = []
    for arrival in arrivals:
        monitor = monitors.get(arrival.key)
        if monitor is None:
            outcomes.append(None)
            continue
        monitor = await _expecting(connection, monitor, arrival)
        progressed = await _run(connection, monitor, arrival)
        monitors[arrival.key] = progressed or monitor
        outcomes.append(progressed is not None)
    for _, monitor in sorted(monitors.items()):
        await connection.execute(_QUERIES["progress"], _progress(monitor))
    return outcomes


async def record_one(connection: Connection, arrival: Arrival) -> None:
    """Write a single check-in.

    Raises:
        NotFound: Its project is not there, or has as many monitors as it may have.
    """
    if (await record(connection, [arrival]))[0] is None:
        raise NotFound(
            f"project {arrival.project_id} is not there, or has {MOST_MONITORS:,} monitors;"
            " `opsbook check-ins delete` makes room"
        )


async def expect(
    connection: Connection,
    slug: str,
    environment: str,
    expectation: Expectation,
    now: datetime,
    project_id: int = USUAL_PROJECT,
) -> Monitor:
    """Say what is expected of a monitor, which is made where it is not there yet.

    Raises:
        NotFound: There is no room for it.
    """
    arrival = Arrival(slug, Status.OK, now, project_id, environment, expectation=expectation)
    monitor = (await _held(connection, {arrival.key})).get(arrival.key)
    if monitor is None:
        raise NotFound(f"there are {MOST_MONITORS:,} monitors already; `opsbook check-ins delete` makes room")
    return await _expecting(connection, monitor, arrival, by_report=False)


async def find_overdue(connection: Connection, now: datetime) -> int:
    """Write what was missed and what has gone on for too long; gives of how many monitors. Safe to run by several."""
    overdue = [m.id for m in await list_monitors(connection) if m.state(now) in {State.MISSED, State.TIMED_OUT}]
    if not overdue:
        return 0
    async with connection.transaction():
        monitors = {m.id: m for m in await _rows(connection, "lock_ids", {"ids": overdue})}
        timed_out = await connection.execute(_QUERIES["time_out"], {"ids": overdue, "now": now})
        for row in await timed_out.fetchall():
            monitors[row["monitor_id"]] = monitors[row["monitor_id"]].ended(Status.TIMED_OUT, row["at"])
        for monitor in monitors.values():
            missed = await _missed(connection, monitor, now)
            await connection.execute(_QUERIES["progress"], _progress(missed))
    return len(monitors)


async def _missed(connection: Connection, monitor: Monitor, now: datetime) -> Monitor:
    times = list(monitor.missed(now))
    if not times:
        return monitor
    await connection.execute(_QUERIES["miss"], {"monitor_id": monitor.id, "times": times})
    for at in times:
        monitor = monitor.ended(Status.MISSED, at)
    return replace(monitor, expected_after=times[-1])


async def _held(connection: Connection, keys: set[Key]) -> dict[Key, Monitor]:
    """The monitors of these keys, held to the end of the transaction; those that are new are made."""
    found = await _locked(connection, keys)
    if missing := keys.difference(found):
        async with _reporting(connection):
            await connection.execute(_QUERIES["add_monitors"], {**_columns(missing), "most": MOST_MONITORS})
        found |= await _locked(connection, missing)
    return found


async def _locked(connection: Connection, keys: set[Key]) -> dict[Key, Monitor]:
    monitors = await _rows(connection, "lock_monitors", _columns(keys))
    return {(m.project_id, m.slug, m.environment): m for m in monitors}


async def _rows(connection: Connection, query: str, parameters: Mapping[str, Any]) -> Sequence[Monitor]:
    cursor = connection.cursor(row_factory=class_row(Monitor))
    return await (await cursor.execute(_QUERIES[query], parameters)).fetchall()


def _columns(keys: set[Key]) -> dict[str, Any]:
    projects, slugs, environments = zip(*sorted(keys), strict=True)
    return {"projects": list(projects), "slugs": list(slugs), "environments": list(environments)}


async def _expecting(connection: Connection, monitor: Monitor, arrival: Arrival, *, by_report: bool = True) -> Monitor:
    """The monitor with what the check-in says of its schedule, written down where that is new."""
    if arrival.expectation is None:
        return replace(monitor, problem=arrival.problem or monitor.problem)
    wanted = _with(monitor, arrival.expectation)
    if wanted != monitor:
        if (wanted.schedule, wanted.timezone) != (monitor.schedule, monitor.timezone):
            wanted = replace(wanted, expected_after=max(monitor.expected_after, arrival.at))
        if by_report:
            async with _reporting(connection):
                await connection.execute(_QUERIES["expect"], _expected(wanted))
        else:
            await connection.execute(_QUERIES["expect"], _expected(wanted))
    return replace(wanted, problem=None)


def _with(monitor: Monitor, expectation: Expectation) -> Monitor:
    schedule = expectation.schedule
    return replace(
        monitor,
        schedule=schedule.text if schedule else monitor.schedule,
        timezone=schedule.timezone if schedule else monitor.timezone,
        margin=expectation.margin if expectation.margin is not None else monitor.margin,
        max_runtime=expectation.max_runtime or monitor.max_runtime,
        failure_threshold=expectation.failure_threshold or monitor.failure_threshold,
        recovery_threshold=expectation.recovery_threshold or monitor.recovery_threshold,
    )


@asynccontextmanager
async def _reporting(connection: Connection) -> AsyncIterator[None]:
    """What is changed inside stands in the audit as done by a report, unless somebody acts in this transaction."""
    row = await (await connection.execute(_QUERIES["who_acts"])).fetchone()
    if row is not None and row["actor"]:
        yield
        return
    await connection.execute(_QUERIES["report_begins"], {"actor": _REPORTER})
    yield
    await connection.execute(_QUERIES["report_begins"], {"actor": ""})


async def _run(connection: Connection, monitor: Monitor, arrival: Arrival) -> Monitor | None:
    """Write the run that a check-in begins or ends; gives how the monitor is then, None where nothing new was told."""
    has_ended = arrival.status is not Status.IN_PROGRESS
    length = timedelta(seconds=min(arrival.duration_seconds or 0, timedelta(days=365).total_seconds()))
    cursor = await connection.execute(
        _QUERIES["check_in"],
        {
            "monitor_id": monitor.id,
            "id": arrival.id or (await _newest_open(connection, monitor) if has_ended else None) or uuid.uuid4(),
            "status": arrival.status,
            "started_at": arrival.at - length if has_ended else arrival.at,
            "finished_at": arrival.at if has_ended else None,
            "duration_seconds": arrival.duration_seconds if has_ended else None,
            "told_seconds": arrival.duration_seconds,
            "exit_code": arrival.exit_code,
            "release": arrival.release,
            "trace_id": arrival.trace_id,
        },
    )
    written = await cursor.fetchone()
    if written is None:
        return None
    if written["is_new"]:
        monitor = monitor.begun(written["started_at"])
    counts = has_ended and written["status"] == arrival.status
    return monitor.ended(arrival.status, arrival.at) if counts else monitor


async def _newest_open(connection: Connection, monitor: Monitor) -> uuid.UUID | None:
    row = await (await connection.execute(_QUERIES["newest_open"], {"monitor_id": monitor.id})).fetchone()
    return row["id"] if row else None


def _expected(monitor: Monitor) -> dict[str, Any]:
    names = ("id", "schedule", "timezone", "margin", "max_runtime", "failure_threshold", "recovery_threshold")
    return {name: getattr(monitor, name) for name in names}


def _progress(monitor: Monitor) -> dict[str, Any]:
    names = ("id", "expected_after", "last_status", "last_at", "failures", "successes", "failing_since", "problem")
    return {name: getattr(monitor, name) for name in names}
