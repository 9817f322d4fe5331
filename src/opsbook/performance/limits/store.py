"""Rate limits in the ops database: what is set, what was counted, and who stood out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from opsbook.core.access.identity import SYSTEM
from opsbook.core.audit import AuditFilter, acting, search
from opsbook.core.errors import Conflict, NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.performance.limits.policy import SPANS

QUERIES = load_queries("opsbook.performance.limits")
_HOUR = timedelta(hours=1)
_MOST_KEYS = 20


@dataclass(frozen=True, slots=True)
class Limit:
    """A policy as operators see it."""

    policy: str
    declared: Mapping[str, int]
    """What the code says, by `per_second` and so on."""
    set: Mapping[str, int]
    """What operators have set over it."""
    mode: str
    until: datetime | None
    reason: str | None
    updated_by: str | None
    updated_at: datetime
    revision: int
    is_changed: bool
    """Whether something other than what is declared is in force now."""
    key: str
    when_away: str
    admitted: int
    """In the last 15 minutes, in all processes; likewise `refused`."""
    refused: int
    processes: int
    """Those that count this now."""
    in_memory: int
    """Of them those that count for themselves alone, for they have no Redis."""

    @property
    def in_force(self) -> Mapping[str, int]:
        """What is enforced now."""
        limits = {**self.declared, **(self.set if self.is_changed else {})}
        return {name: limits[name] for name in SPANS if name in limits}

    @property
    def warning(self) -> str | None:
        """What an operator should know of how this is counted."""
        if self.in_memory > 1:
            return f"{self.in_memory} processes count for themselves: each admits the whole limit; set REDIS_URL"
        return None

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        kept = {name: getattr(self, name) for name in self.__slots__}
        return {**kept, "in_force": self.in_force, "warning": self.warning}


async def list_limits(connection: Connection) -> Sequence[Limit]:
    """Every policy that code has declared or SQL has made."""
    rows = await (await connection.execute(QUERIES["list"], {"policy": None})).fetchall()
    return [_limit(row) for row in rows]


async def get_limit(connection: Connection, policy: str) -> Limit:
    """One policy.

    Raises:
        NotFound: No code has declared it.
    """
    row = await (await connection.execute(QUERIES["list"], {"policy": policy})).fetchone()
    if row is None:
        raise NotFound(f"there is no rate limit {policy!r}; `opsbook limits show` lists those that services declare")
    return _limit(row)


async def set_limit(
    connection: Connection,
    policy: str,
    given: Mapping[str, object],
    *,
    until: datetime | None = None,
    reason: str | None = None,
    keep: bool = True,
) -> Limit:
    """Have these in force: limits by their names in SPANS, and `mode`.

    Args:
        connection: A transaction in which somebody acts.
        policy: The policy's name.
        given: What is to be in force instead of what is declared.
        until: When it goes back to that; never where left out.
        reason: Why; it stands beside the limit and in the audit.
        keep: Whether what is not given stays as it is set, or goes back to what is declared.

    Raises:
        NotFound: No code has declared it.
    """
    await get_limit(connection, policy)
    parameters = {"policy": policy, "given": Jsonb(dict(given)), "until": until, "reason": reason, "keep": keep}
    await connection.execute(QUERIES["set"], parameters)
    return await get_limit(connection, policy)


async def reset_limit(connection: Connection, policy: str) -> Limit:
    """Go back to what is declared.

    Raises:
        NotFound: No code has declared it.
    """
    await get_limit(connection, policy)
    await connection.execute(QUERIES["reset"], {"policy": policy})
    return await get_limit(connection, policy)


async def undo_change(connection: Connection, policy: str, seen: int) -> Limit:
    """Go back to what was set before the last change.

    Args:
        connection: A transaction in which somebody acts.
        policy: The policy's name.
        seen: The revision that is to be undone.

    Raises:
        NotFound: No code has declared it.
        Conflict: Somebody has changed it since.
    """
    limit = await get_limit(connection, policy)
    if limit.revision != seen:
        raise Conflict(f"{limit.updated_by} changed {policy!r} in between; look at what is in force before undoing")
    records = await search(connection, AuditFilter(target_kind="rate_limit", target=policy, limit=1))
    before = records[0]["before"] if records else None
    until = datetime.fromisoformat(before["until"]) if before and before["until"] else None
    if before is None or (until and until <= datetime.now(UTC)):
        return await reset_limit(connection, policy)
    given = {name: before[name] for name in (*SPANS, "mode")}
    return await set_limit(connection, policy, given, until=until, reason=before["reason"], keep=False)


async def reset_over(connection: Connection) -> Sequence[str]:
    """Reset, in the audit's eyes too, each limit whose time is over; workers have gone back by their own clocks."""
    over = [row["policy"] for row in await (await connection.execute(QUERIES["over"])).fetchall()]
    for policy in over:
        async with acting(connection, SYSTEM, "went back by itself") as acted:
            await acted.execute(QUERIES["go_back"], {"policy": policy})
    return over


async def totals(connection: Connection) -> Sequence[DictRow]:
    """`policy`, `admitted` and `refused` since the beginning."""
    return await _rows(connection, "totals")


async def history(connection: Connection, policy: str, period: timedelta = _HOUR) -> Sequence[DictRow]:
    """`minute`, `admitted` and `refused`, oldest first; minutes without a request are left out."""
    return await _rows(connection, "history", policy=policy, period=period)


async def counts(
    connection: Connection, period: timedelta, step: timedelta, policy: str | None = None
) -> Sequence[DictRow]:
    """`at`, `admitted` and `refused` of one policy, or of all together, by steps as `charts.steps` gives them."""
    return await _rows(connection, "counts", policy=policy, period=period, step=step)


async def refused_keys(connection: Connection, policy: str, period: timedelta = _HOUR) -> Sequence[DictRow]:
    """`key`, `refused` and `last_at` of those who were refused most; keys may be addresses of people."""
    return await _rows(connection, "refused_keys", policy=policy, period=period, most=_MOST_KEYS)


async def near_keys(connection: Connection, policy: str) -> Sequence[DictRow]:
    """`key`, `used` (0 to 1) and `last_at` of those who come nearest to the limit now."""
    return await _rows(connection, "near_keys", policy=policy, most=_MOST_KEYS)


async def tidy(connection: Connection) -> None:
    """Forget what is older than 7 days, and all but an hour's hundred keys."""
    await connection.execute(QUERIES["trim"])
    await connection.execute(QUERIES["tidy"])


async def _rows(connection: Connection, query: str, **parameters: Any) -> Sequence[DictRow]:
    return await (await connection.execute(QUERIES[query], parameters)).fetchall()


def _limit(row: DictRow) -> Limit:
    declared: Mapping[str, Any] = row["declared"]
    taken = {name: row[name] for name in Limit.__slots__ if name in row and name != "declared"}
    return Limit(
        declared={name: declared[name] for name in SPANS if name in declared},
        set={name: row[name] for name in SPANS if row[name] is not None},
        key=str(declared.get("key", "")),
        when_away=str(declared.get("when_away", "")),
        **taken,
    )
