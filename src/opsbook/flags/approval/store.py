"""Change requests in the ops database: asked for by one person, decided by another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from opsbook.core.access import Identity
from opsbook.core.audit import acting
from opsbook.core.errors import Conflict, Forbidden, NotFound
from opsbook.core.postgres.connect import Connection, Pool
from opsbook.core.queries import load_queries
from opsbook.flags import store as flags
from opsbook.flags.approval.needed import ApprovalAsked, ApprovalNeeded
from opsbook.flags.model import Flag

_QUERIES = load_queries("opsbook.flags.approval")


@asynccontextmanager
async def acting_or_asking(
    source: Pool | Connection, identity: Identity, reason: str | None = None
) -> AsyncIterator[Connection]:
    """As `audit.acting`; a change that needs a second person is undone with all that was done besides, and asked for.

    Raises:
        ApprovalAsked: It now waits as a request.
    """
    try:
        async with acting(source, identity, reason) as connection:
            yield connection
    except ApprovalNeeded as needed:
        async with acting(source, identity, reason) as connection:
            number = await ask(connection, needed.flag, needed.fields, needed.revision, reason)
            raised = ApprovalAsked(number, needed.flag)
        raise raised from needed


async def list_requests(connection: Connection, flag: str | None = None, *, decided: bool = False) -> Sequence[DictRow]:
    """A flag's requests, or all: those that wait, or decided and expired ones too; the newest first."""
    return await (await connection.execute(_QUERIES["list"], {"flag": flag, "decided": decided})).fetchall()


async def ask(
    connection: Connection, flag: str, fields: Mapping[str, Any], revision: int, reason: str | None = None
) -> int:
    """Have a change of a flag, as it is at a revision, wait for a second person; gives the request's number.

    What the same person asks for again is the request that waits already.
    """
    parameters = {"flag": flag, "fields": Jsonb(dict(fields)), "revision": revision, "reason": reason}
    return int((await _one(connection, "ask", **parameters))["id"])


async def approve(connection: Connection, request: int) -> Flag:
    """Make the change that was asked for, in the name of whoever acts, who must be another person.

    Raises:
        NotFound: There is no such request.
        Forbidden: It is one's own, or a token acts, which is nobody in particular.
        Conflict: It is decided already or has expired, or the flag has changed since it was asked for.
    """
    held = await _pending(connection, request)
    if held["is_expired"]:
        raise Conflict(f"request {request} expired at {held['expires_at']:%Y-%m-%d %H:%M} UTC: have it asked for anew")
    if held["is_own"]:
        raise Forbidden(f"request {request} is of {held['made_by']}: another person must approve it")
    if not held["by_a_person"]:
        raise Forbidden(f"a person must approve request {request}: in the console, or by `opsbook flags approve`")
    flag = await flags.get_flag(connection, held["flag"])
    if flag.revision != held["base_revision"]:
        raise Conflict(
            f"{flag.name!r} is at revision {flag.revision}, the request is for {held['base_revision']}:"
            " reject it, and have it asked for anew"
        )
    await _one(connection, "decide", id=request, status="approved")
    await _one(connection, "use", id=request)
    return await flags.apply_change(connection, held["flag"], held["fields"])


async def reject(connection: Connection, request: int) -> None:
    """Decide that the change is not made; also one's own, which takes it back.

    Raises:
        NotFound: There is no such request.
        Conflict: It is decided already.
    """
    await _pending(connection, request)
    await _one(connection, "decide", id=request, status="rejected")


async def _pending(connection: Connection, request: int) -> DictRow:
    await flags.take_turn(connection)
    row = await (await connection.execute(_QUERIES["lock"], {"id": request})).fetchone()
    if row is None:
        raise NotFound(f"there is no request {request}; `opsbook flags requests` shows them")
    if row["status"] != "pending":
        raise Conflict(f"request {request} is {row['status']} already, by {row['decided_by']}")
    return row


async def _one(connection: Connection, query: str, **parameters: Any) -> DictRow:
    row = await (await connection.execute(_QUERIES[query], parameters)).fetchone()
    assert row is not None
    return row
