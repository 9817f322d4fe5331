"""Address blocks in the ops database.

Each function that changes something takes a connection that is already acting for somebody (`audit.acting`); the
table's triggers number, record and announce what it does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import DictRow

from opsbook.core.access import store as access
from opsbook.core.errors import Conflict, Invalid, NotFound
from opsbook.core.http.client_address import TrustedProxies
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.performance.blocks.guard import Network, read_networks, require_harmless

_QUERIES = load_queries("opsbook.performance.blocks")
_MOST_COMPARED = 1000
"""Networks of a list that are compared with those there; it is for a person to look at."""
_MANY = 5000
MOST_UNDONE = 100
"""The audit has that many of a longer list."""


@dataclass(frozen=True, slots=True)
class Added:
    """What blocking some networks has done."""

    added: int
    changed: int
    """Blocked before, and now with another reason or end."""
    unchanged: int


@dataclass(frozen=True, slots=True)
class Totals:
    """All blocks in figures."""

    blocks: int
    ipv6: int
    ending: int
    """How many have an end."""
    hits: int
    """Requests refused, ever, by the blocks that are there."""
    last_hit_at: datetime | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """A block that is there, around or within a network that is given."""

    network: str
    given: str
    is_around: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a network, and what it was before."""

    network: str
    is_lifted: bool
    was_blocked: bool
    reason: str | None
    """Before; likewise the end."""
    expires_at: datetime | None


async def add(
    connection: Connection,
    networks: Sequence[Network],
    *,
    reason: str = "",
    expires_at: datetime | None = None,
) -> Added:
    """Block networks, until `expires_at` where it is given; one that is blocked gets the new reason and end."""
    if len(networks) > _MANY:
        await connection.execute(_QUERIES["allow_time"])
    parameters = {"networks": _texts(networks), "reason": reason, "expires_at": expires_at}
    row = await (await connection.execute(_QUERIES["add"], parameters)).fetchone()
    assert row is not None
    return Added(**row)


async def check_harmless(
    connection: Connection, networks: Collection[Network], own: Iterable[str], proxies: TrustedProxies, *, hint: str
) -> None:
    """Refuse networks that hold an operator's address (one of `own`, or of an open console), a proxy, this machine.

    Raises:
        WouldLockOut: Says which network would hit whom, and by `hint` how to do it all the same.
    """
    consoles = {row["ip"] for row in await access.list_sessions(connection) if row["ip"]}
    require_harmless(networks, {*own, *consoles}, proxies.networks, hint=hint)


async def remove(connection: Connection, networks: Sequence[Network]) -> int:
    """Lift blocks; gives how many there were.

    Raises:
        NotFound: None of the networks is blocked; a part or a multiple of a block is not the block.
    """
    if len(networks) > _MANY:
        await connection.execute(_QUERIES["allow_time"])
    row = await (await connection.execute(_QUERIES["remove"], {"networks": _texts(networks)})).fetchone()
    assert row is not None
    if not row["removed"]:
        raise NotFound(
            f"there is no block of {networks[0]}{' or the others' if len(networks) > 1 else ''};"
            f" `opsbook block list --address {networks[0].network_address}` shows those around it"
        )
    return row["removed"]


async def list_blocks(
    connection: Connection,
    *,
    after: str | None = None,
    address: str | None = None,
    text: str | None = None,
    limit: int = 100,
) -> Sequence[DictRow]:
    """Blocks in the order of their networks, with their hits.

    Args:
        connection: To the ops database.
        after: The network with which the page before ended.
        address: Only blocks around this address.
        text: Only blocks with this in their network or reason.
        limit: How many at most.
    """
    parameters = {"after": after, "address": address, "text": text, "limit": limit}
    return await (await connection.execute(_QUERIES["list"], parameters)).fetchall()


async def recently_hit(connection: Connection, limit: int = 20) -> Sequence[DictRow]:
    """Blocks that refused requests, the latest first."""
    return await (await connection.execute(_QUERIES["recently_hit"], {"limit": limit})).fetchall()


async def totals(connection: Connection) -> Totals:
    """All blocks in figures."""
    row = await (await connection.execute(_QUERIES["totals"])).fetchone()
    assert row is not None
    return Totals(**row)


async def refused(connection: Connection, period: timedelta, step: timedelta) -> Sequence[DictRow]:
    """`at` and `refused` of all blocks together, by steps as `charts.steps` gives them."""
    return await (await connection.execute(_QUERIES["refused"], {"period": period, "step": step})).fetchall()


async def newest_revision(connection: Connection) -> int:
    """The revision of the last change; in the transaction that makes one, of that."""
    row = await (await connection.execute(_QUERIES["newest_revision"])).fetchone()
    assert row is not None
    return int(row["revision"])


async def changed_in(connection: Connection, revision: int) -> Sequence[Change]:
    """What a change did to each network that nobody has touched since; of a long list, the first 101."""
    parameters = {"revision": revision, "limit": MOST_UNDONE + 1}
    return [Change(**row) for row in await (await connection.execute(_QUERIES["changed_in"], parameters)).fetchall()]


async def undo(connection: Connection, revision: int) -> int:
    """Have each network as it was before a change, but for those that were touched since; gives how many.

    Raises:
        Conflict: There is none.
        Invalid: They are more than the audit tells one by one.
    """
    changes = await changed_in(connection, revision)
    if not changes:
        raise Conflict("what this changed was changed again since; look at the list before undoing")
    if len(changes) > MOST_UNDONE:
        raise Invalid(f"more than {MOST_UNDONE} networks are not undone at once; `opsbook block remove --file` is")
    if new := [each.network for each in changes if not each.was_blocked]:
        await remove(connection, read_networks(new))
    for each in changes:
        if each.was_blocked:
            await add(connection, read_networks([each.network]), reason=each.reason or "", expires_at=each.expires_at)
    return len(changes)


async def overlaps(connection: Connection, networks: Sequence[Network], limit: int = 20) -> Sequence[Overlap]:
    """Blocks around or within the first thousand of some networks."""
    parameters = {"networks": _texts(networks[:_MOST_COMPARED]), "limit": limit}
    return [Overlap(**row) for row in await (await connection.execute(_QUERIES["overlaps"], parameters)).fetchall()]


async def pushes(connection: Connection) -> Sequence[DictRow]:
    """What came of telling each firewall, last time."""
    return await (await connection.execute(_QUERIES["pushes"])).fetchall()


async def remove_expired(connection: Connection) -> int:
    """Lift what has ended by itself; gives how many blocks that was."""
    return (await connection.execute(_QUERIES["remove_expired"])).rowcount


async def forget_removals(connection: Connection) -> None:
    """Forget what was lifted, and counted, long ago."""
    await connection.execute(_QUERIES["forget_removals"])


def _texts(networks: Iterable[Network]) -> list[str]:
    return [str(network) for network in networks]
