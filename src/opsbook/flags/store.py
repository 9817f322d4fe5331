"""Feature flags in the ops database.

Each function takes a connection that is already acting for somebody (`audit.acting`); the
table's triggers number, record and announce what it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from opsbook.core.errors import Conflict, NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.flags.approval.needed import ApprovalNeeded
from opsbook.flags.model import Flag, flag_decoded, flag_from, segment_decoded
from opsbook.flags.snapshot import Snapshot

_QUERIES = load_queries("opsbook.flags")
_CHANGEABLE = (
    "enabled",
    "kill_switch",
    "rollout_percentage",
    "description",
    "owner",
    "tags",
    "value_type",
    "rules",
    "variants",
    "prerequisites",
    "expires_at",
    "off_when_expired",
    "archived_at",
    "requires_approval",
)


async def list_flags(connection: Connection, *, archived: bool = False) -> Sequence[Flag]:
    """Every flag by name; archived ones, where asked for, come last."""
    rows = await (await connection.execute(_QUERIES["list"], {"archived": archived})).fetchall()
    return [flag_from(row) for row in rows]


async def snapshot(connection: Connection) -> Snapshot:
    """Every flag and segment at one moment, ready to evaluate."""
    row = await _one(connection, "snapshot")
    assert row is not None
    return Snapshot.of(row["revision"], starmap(flag_decoded, row["flags"]), starmap(segment_decoded, row["segments"]))


async def get_flag(connection: Connection, name: str) -> Flag:
    """One flag.

    Raises:
        NotFound: There is none of that name.
    """
    row = await _one(connection, "get", name=name)
    if row is None:
        raise NotFound(f"there is no flag {name[:200]!r}; `opsbook flags list` shows them")
    return flag_from(row)


async def create_flag(connection: Connection, name: str, fields: Mapping[str, Any]) -> Flag:
    """A new flag, off and at 100 % where the fields do not say otherwise.

    Raises:
        Conflict: The name is taken.
    """
    row = await _one(connection, "create", fields=Jsonb({**fields, "name": name}))
    if row is None:
        raise Conflict(f"there is a flag {name!r} already")
    return flag_from(row)


async def change_flag(
    connection: Connection, name: str, fields: Mapping[str, Any], *, expected_revision: int | None = None
) -> Flag:
    """Change the given fields and no others.

    Raises:
        NotFound: There is none of that name.
        Conflict: It is no longer at the expected revision: somebody changed it in between.
        ApprovalNeeded: The flag asks for a second person.
    """
    held = await _lock(connection, name, expected_revision)
    try:
        return await apply_change(connection, name, fields)
    except psycopg.errors.CheckViolation as error:
        # Whether a change is free of approval is the trigger's to say, for psql and us alike.
        if error.diag.constraint_name != "requires_approval":
            raise
        raise ApprovalNeeded(name, fields, held["revision"]) from error


async def apply_change(connection: Connection, name: str, fields: Mapping[str, Any]) -> Flag:
    """Change the given fields of a flag that is there and held."""
    row = await _one(connection, "change", name=name, fields=Jsonb(dict(fields)))
    assert row is not None
    return flag_from(row)


async def take_turn(connection: Connection) -> None:
    """Queue with the other writers until this transaction ends."""
    await connection.execute(_QUERIES["take_turn"])


async def name_problems(connection: Connection, names: Sequence[str]) -> Mapping[str, str]:
    """Which of some well-formed names no new flag or segment can have, since they could pass for others, and why."""
    rows = await (await connection.execute(_QUERIES["name_problems"], {"names": list(names)})).fetchall()
    return {row["name"]: row["problem"] for row in rows}


async def create_or_change_flag(
    connection: Connection, name: str, fields: Mapping[str, Any], *, expected_revision: int | None = None
) -> tuple[Flag, bool]:
    """Change a flag, or create it where it is missing; the second value says whether it was created.

    Raises:
        Conflict: It is no longer at the expected revision.
    """
    if expected_revision is None and await _held(connection, name) is None:
        row = await _one(connection, "create", fields=Jsonb({**fields, "name": name}))
        if row is not None:
            return flag_from(row), True
    return await change_flag(connection, name, fields, expected_revision=expected_revision), False


async def delete_flag(connection: Connection, name: str, *, expected_revision: int | None = None) -> Flag:
    """Remove a flag; its history stays, and `undo` brings it back.

    Raises:
        NotFound: There is none of that name.
        Conflict: It is no longer at the expected revision.
    """
    await _lock(connection, name, expected_revision)
    try:
        row = await _one(connection, "delete", name=name)
    except psycopg.errors.CheckViolation as error:
        if error.diag.constraint_name != "requires_approval":
            raise
        raise Conflict(error.diag.message_primary or "the flag asks for a second person") from error
    assert row is not None
    return flag_from(row)


async def history(
    connection: Connection, name: str, *, before_revision: int | None = None, limit: int = 50
) -> Sequence[DictRow]:
    """What a flag has been, newest first, also after its deletion.

    Raises:
        NotFound: There never was one of that name.
    """
    cursor = await connection.execute(
        _QUERIES["history"], {"name": name, "before_revision": before_revision, "limit": limit}
    )
    rows = await cursor.fetchall()
    if not rows and before_revision is None:
        raise NotFound(f"there never was a flag {name[:200]!r}")
    return rows


async def change_at(connection: Connection, name: str, revision: int | None = None) -> DictRow:
    """The last change of a flag up to a revision, with the states before and after it.

    Raises:
        NotFound: There never was a flag of that name, or not yet at that revision.
    """
    rows = await history(connection, name, before_revision=None if revision is None else revision + 1, limit=1)
    if not rows:
        raise NotFound(f"{name[:200]!r} did not exist yet at revision {revision}")
    return rows[0]


async def undo(connection: Connection, name: str, *, to_revision: int | None = None) -> Flag | None:
    """Bring a flag back to what it was at a revision, or before its last change; None where that is nothing.

    An undo is a change like any other: it has a revision and can be undone.

    Raises:
        NotFound: There never was one of that name, or not yet at that revision.
    """
    await _held(connection, name)
    wanted = await _state(connection, name, to_revision)
    if wanted is None:
        await connection.execute(_QUERIES["delete"], {"name": name})
        return None
    fields = {field: wanted[field] for field in _CHANGEABLE if field in wanted}
    flag, _ = await create_or_change_flag(connection, name, fields)
    return flag


async def _state(connection: Connection, name: str, revision: int | None) -> Mapping[str, Any] | None:
    if revision is None:
        row = await _one(connection, "last_change", name=name)
        if row is None:
            raise NotFound(f"there never was a flag {name[:200]!r}")
        return row["before"]
    row = await _one(connection, "state_at", name=name, revision=revision)
    if row is None:
        raise NotFound(f"{name!r} did not exist yet at revision {revision}")
    return row["after"]


async def _lock(connection: Connection, name: str, expected_revision: int | None) -> DictRow:
    row = await _held(connection, name)
    if row is None:
        raise NotFound(f"there is no flag {name[:200]!r}; `opsbook flags list` shows them")
    if expected_revision is not None and row["revision"] != expected_revision:
        raise Conflict(
            f"{name!r} is at revision {row['revision']}, not {expected_revision}: somebody changed it in between;"
            " look at it again and retry"
        )
    return row


async def _held(connection: Connection, name: str) -> DictRow | None:
    """A flag as it is and stays until this transaction ends, unless by this transaction."""
    await take_turn(connection)
    return await _one(connection, "lock", name=name)


async def _one(connection: Connection, query: str, **parameters: object) -> DictRow | None:
    return await (await connection.execute(_QUERIES[query], parameters)).fetchone()
