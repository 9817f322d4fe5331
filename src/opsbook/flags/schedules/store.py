"""Schedules in the ops database, and the step that is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from opsbook.core.access import Identity, Role
from opsbook.core.access.identity import SYSTEM
from opsbook.core.audit import acting
from opsbook.core.errors import Conflict, NotFound, OpsbookError
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.flags import store as flags
from opsbook.flags.schedules.model import Steps

_QUERIES = load_queries("opsbook.flags.schedules")

log = get_logger(__name__)


async def list_schedules(
    connection: Connection, flag: str | None = None, *, finished: bool = False
) -> Sequence[DictRow]:
    """A flag's schedules, or everybody's; the soonest first."""
    return await (await connection.execute(_QUERIES["list"], {"flag": flag, "finished": finished})).fetchall()


async def add(connection: Connection, flag: str, kind: str, steps: Steps) -> DictRow:
    """A new schedule in the name of whoever acts; `kind` is `dates` or `ramp`.

    Raises:
        NotFound: There is no such flag.
    """
    await flags.get_flag(connection, flag)
    return await _one(connection, "add", flag=flag, kind=kind, steps=Jsonb(list(steps)))


async def pause(connection: Connection, schedule: int, because: str = "by hand") -> DictRow:
    """Take no further step.

    Raises:
        NotFound: There is no such schedule.
        Conflict: It is paused or finished already.
    """
    held = await _held(connection, schedule)
    if held["paused_at"] or held["finished_at"]:
        raise Conflict(f"schedule {schedule} is {'paused' if held['paused_at'] else 'finished'} already")
    return await _one(connection, "pause", id=schedule, because=because, at=None)


async def resume(connection: Connection, schedule: int) -> DictRow:
    """Go on: a ramp from where it stood, dates as they are, what is past due at the next minute.

    Raises:
        NotFound: There is no such schedule.
        Conflict: It is not paused, or its flag is killed.
    """
    held = await _held(connection, schedule)
    if not held["paused_at"]:
        raise Conflict(f"schedule {schedule} is not paused")
    if (await flags.get_flag(connection, held["flag"])).kill_switch:
        raise Conflict(f"{held['flag']!r} is killed: revive it before its schedule goes on")
    if not held["is_noted"]:
        await _one(connection, "pause", id=schedule, because=held["paused_because"], at=held["paused_at"])
    return await _one(connection, "resume", id=schedule)


async def remove(connection: Connection, schedule: int) -> None:
    """Forget a schedule; what it has done stays done.

    Raises:
        NotFound: There is no such schedule.
    """
    await _held(connection, schedule)
    await _one(connection, "remove", id=schedule)


async def run_due(connection: Connection) -> Sequence[int]:
    """Take every step that is due, each in a transaction of its own; gives the schedules that went on.

    Of several that are due the newest counts, in one change. Paused, with the reason, is a schedule whose step is
    refused, whose flag was killed since it was made or resumed, or whose maker may no longer change flags.
    """
    for row in await (await connection.execute(_QUERIES["stopped"])).fetchall():
        async with acting(connection, SYSTEM, row["because"]) as acted:
            await acted.execute(_QUERIES["note"], {"id": row["id"]})
    ran: list[int] = []
    for row in await (await connection.execute(_QUERIES["due"])).fetchall():
        person = Identity(row["made_by"], row["made_by_kind"], Role.OPERATOR, user_agent="opsbook worker")
        try:
            async with acting(connection, person, f"schedule {row['id']}") as acted:
                if await _run(acted, row):
                    ran.append(row["id"])
        except _Busy:
            log.info("flag_schedule_waits", schedule=row["id"])
        except (OpsbookError, psycopg.errors.IntegrityError, psycopg.errors.InsufficientPrivilege) as error:
            log.warning("flag_schedule_refused", schedule=row["id"], error=str(error))
            async with acting(connection, SYSTEM, "refused") as acted:
                because = str(error).splitlines()[0][:500]
                await acted.execute(_QUERIES["pause"], {"id": row["id"], "because": because, "at": None})
    return ran


class _Busy(Exception):
    """Others hold what a step needs; the next minute is as good."""


async def _run(connection: Connection, row: DictRow) -> bool:
    """Whether a due step was taken. The schedule comes first: who holds it keeps no writer of flags waiting."""
    try:
        await connection.execute(_QUERIES["be_brief"])
        due = await _find(connection, "take", **row)
        if due is None:
            return False
        await flags.take_turn(connection)
        stop = await _find(connection, "stop", id=row["id"])
        if stop is not None:
            raise Conflict(stop["because"])
        await flags.change_flag(connection, due["flag"], due["fields"])
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise _Busy from error
    return True


async def _held(connection: Connection, schedule: int) -> DictRow:
    row = await _find(connection, "lock", id=schedule)
    if row is None:
        raise NotFound(f"there is no schedule {schedule}; `opsbook flags schedule list` shows them")
    return row


async def _one(connection: Connection, query: str, **parameters: Any) -> DictRow:
    row = await _find(connection, query, **parameters)
    assert row is not None
    return row


async def _find(connection: Connection, query: str, **parameters: Any) -> DictRow | None:
    return await (await connection.execute(_QUERIES[query], parameters)).fetchone()
