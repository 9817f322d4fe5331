"""The audit trail: who acts in a transaction, what they did, and whether the seals still fit.

Changes to tables are recorded by triggers, so that psql, HTTP, the command line and the
console leave the same record; `record` is for what no table shows, such as a refused sign-in.

Triggers refuse change and deletion to everybody, and seals show what got past them. Neither
binds the role that owns the tables: it can switch triggers off, write records in any name, and
compute the seals anew. Against that helps only a head of the chain that is kept elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from opsbook.core.access.identity import Identity
from opsbook.core.errors import Conflict, Invalid
from opsbook.core.postgres.connect import Connection, Pool
from opsbook.core.queries import load_queries

Connect = Callable[[], AbstractAsyncContextManager[Connection]]

_QUERIES = load_queries("opsbook.core")
_MOST_ROWS = 1000
_MOST_BROKEN = 100
_PAGE = 5000
"""Records looked at in one statement; their hashes take some 0.1 s, far below the statement's deadline."""
_BEFORE_ALL = -(2**63)
_LONGEST_USER_AGENT = 300


@asynccontextmanager
async def acting(source: Pool | Connection, identity: Identity, reason: str | None = None) -> AsyncIterator[Connection]:
    """One transaction in which everything is recorded as done by `identity`, for `reason`.

    Raises:
        Conflict: Another transaction held what this one needs for too long; says whose it is.
    """
    if isinstance(source, AsyncConnectionPool):
        async with source.connection() as connection, acting(connection, identity, reason) as inside:
            yield inside
        return
    try:
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
    except psycopg.errors.LockNotAvailable as error:
        raise Conflict(await _who_holds(source)) from error


async def _who_holds(connection: Connection) -> str:
    """Asked right after the wait, while whoever holds the lock most likely still does."""
    holder = await (await connection.execute(_QUERIES["lock_holder"])).fetchone()
    if holder is None:
        return "another transaction held this for too long, and has just ended; retry"
    # Of another role's session a role without pg_read_all_stats sees neither state nor age.
    seen = [holder["state"], f"open for {holder['seconds']:.0f} s" if holder["seconds"] is not None else None]
    return (
        f"another transaction holds this: process {holder['pid']}, user {holder['database_user']},"
        f" application {holder['application_name'] or 'unnamed'!r}"
        + "".join(f", {what}" for what in seen if what)
        + f"; end it with `select pg_terminate_backend({holder['pid']})` in `opsbook psql ops`, or wait and retry"
    )


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
    limit: int = 100


async def search(connection: Connection, wanted: AuditFilter) -> Sequence[DictRow]:
    """The records that match, newest first, at most 1,000."""
    parameters = {name: getattr(wanted, name) for name in wanted.__slots__}
    parameters["limit"] = max(1, min(wanted.limit, _MOST_ROWS))
    parameters["text"] = f"%{_escape_like(wanted.text)}%" if wanted.text else None
    cursor = await connection.execute(_QUERIES["search"], parameters)
    return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Seal:
    """One seal of the chain; its hash covers every record up to its position."""

    position: int
    hash: str

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Seal:
        """A seal as `audit verify` prints it.

        Raises:
            Invalid: It is not written as POSITION:HASH.
        """
        matched = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip())
        if matched is None:
            raise Invalid("a head is written as `opsbook audit verify` prints it: POSITION:HASH")
        return cls(int(matched[1]), matched[2])


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found: how much is sealed, the newest seal, and the first 100 seals that do not fit."""

    sealed: int
    unsealed: int
    head: Seal | None
    broken: Sequence[DictRow]

    @property
    def intact(self) -> bool:
        return not self.broken


async def seal(connection: Connection) -> int:
    """Seal what has been written since the last time, at most 10,000 records; gives how many that was."""
    cursor = await connection.execute(_QUERIES["seal"])
    row = await cursor.fetchone()
    assert row is not None
    return int(row["sealed"])


async def verify(connect: Connect, kept: Seal | None = None) -> Verification:
    """Recompute the chain, page by page, however long it is; holds no connection between pages.

    Shows a record that was changed or removed under its seal. That the end was cut off, or the chain
    computed anew by somebody who can, shows against `kept`: a head that was noted down elsewhere.
    """
    sealed, head, broken = 0, None, list[DictRow]()
    async for page in _pages(connect, "verify_seals", "last_position"):
        sealed += page["sealed"]
        head = Seal(page["last_position"], page["last_hash"])
        broken += page["broken"][: _MOST_BROKEN - len(broken)]
    unsealed = sum([page["unsealed"] async for page in _pages(connect, "count_unsealed", "last_id")])
    if kept is not None:
        async with connect() as connection:
            found = await (await connection.execute(_QUERIES["seal_at"], {"position": kept.position})).fetchone()
        if found is None or found["hash"] != kept.hash:
            problem = "cut off" if found is None else "not the seal that was kept"
            broken.append({"position": kept.position, "audit_id": None, "problem": problem})
    return Verification(sealed, unsealed, head, broken)


async def _pages(connect: Connect, query: str, last: str) -> AsyncIterator[DictRow]:
    """What a statement gives for each page, from the beginning to the page after which nothing follows."""
    after = _BEFORE_ALL
    while True:
        async with connect() as connection:
            page = await (await connection.execute(_QUERIES[query], {"after": after, "size": _PAGE})).fetchone()
        if page is None or page[last] is None:
            return
        yield page
        after = page[last]


async def make_partitions(connection: Connection, months: int) -> None:
    """Make the partitions of this month and of so many after it, where they are missing."""
    await connection.execute(_QUERIES["make_partitions"], {"months": months})


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
