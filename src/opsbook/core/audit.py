"""The audit trail: who acts in a transaction, what they did, and whether the trail is whole.

Changes to tables are recorded by triggers, so that psql, HTTP, the command line and the
console leave the same record; `record` is for what no table shows, such as a refused sign-in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from opsbook.core.access.identity import Identity
from opsbook.core.postgres.connect import Connection, Pool
from opsbook.core.queries import load_queries

_QUERIES = load_queries("opsbook.core")
_MOST_ROWS = 1000
_LONGEST_USER_AGENT = 300


@asynccontextmanager
async def acting(source: Pool | Connection, identity: Identity, reason: str | None = None) -> AsyncIterator[Connection]:
    """One transaction in which everything is recorded as done by `identity`, for `reason`."""
    if isinstance(source, AsyncConnectionPool):
        async with source.connection() as connection, acting(connection, identity, reason) as inside:
            yield inside
        return
    async with source.transaction():
        await source.execute(
            _QUERIES["act_as"],
            {
                "actor": identity.name,
                "actor_kind": identity.kind,
                "ip": identity.ip or "",
                "user_agent": (identity.user_agent or "")[:_LONGEST_USER_AGENT],
                "request_id": identity.request_id or "",
                "reason": reason or "",
            },
        )
        yield source


async def record(
    connection: Connection,
    action: str,
    target_kind: str,
    target: str,
    *,
    before: Any = None,
    after: Any = None,
    success: bool = True,
    reason: str | None = None,
) -> int:
    """Write one record in the name of whoever acts in this transaction; gives its id."""
    cursor = await connection.execute(
        _QUERIES["record"],
        {
            "action": action,
            "target_kind": target_kind,
            "target": target,
            "before": Jsonb(before) if before is not None else None,
            "after": Jsonb(after) if after is not None else None,
            "success": success,
            "reason": reason,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row["id"])


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records: each field narrows, None does not. Newest first, `before_id` pages back."""

    actor: str | None = None
    action: str | None = None
    target_kind: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    success: bool | None = None
    before_id: int | None = None
    after_id: int | None = None
    limit: int = 100


async def search(connection: Connection, wanted: AuditFilter) -> Sequence[DictRow]:
    """The records that match, newest first, at most 1,000."""
    parameters = {name: getattr(wanted, name) for name in wanted.__slots__}
    parameters["limit"] = max(1, min(wanted.limit, _MOST_ROWS))
    parameters["text"] = f"%{_escape_like(wanted.text)}%" if wanted.text else None
    cursor = await connection.execute(_QUERIES["search"], parameters)
    return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found: how much is sealed, and every seal that does not fit."""

    sealed: int
    unsealed: int
    broken: Sequence[DictRow]

    @property
    def intact(self) -> bool:
        return not self.broken


async def seal(connection: Connection) -> int:
    """Seal what has been written since the last time; gives how many records that was."""
    cursor = await connection.execute(_QUERIES["seal"])
    row = await cursor.fetchone()
    assert row is not None
    return int(row["sealed"])


async def verify(connection: Connection) -> Verification:
    """Recompute the chain: a record changed, removed or slipped in by the back door breaks it."""
    broken = await (await connection.execute(_QUERIES["broken_seals"])).fetchall()
    counts = await (await connection.execute(_QUERIES["count_seals"])).fetchone()
    assert counts is not None
    return Verification(counts["sealed"], counts["unsealed"], broken)


async def make_partitions(connection: Connection, months: int) -> None:
    """Make the partitions of this month and of so many after it, where they are missing."""
    await connection.execute(_QUERIES["make_partitions"], {"months": months})


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
