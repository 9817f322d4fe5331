"""The one-time link that `opsbook up` and `opsbook link` print, for whoever holds the machine."""

from __future__ import annotations

import asyncio

from opsbook.core.access import store
from opsbook.core.access.identity import Role, host_identity
from opsbook.core.audit import acting
from opsbook.core.postgres.connect import connect


def create_sign_in_link(ops_url: str) -> str:
    """The secret of a link that signs the owner in, or makes the first person the owner; 15 minutes, once.

    Raises:
        Unavailable: The ops database does not answer.
    """
    return asyncio.run(_create(ops_url))


async def _create(ops_url: str) -> str:
    identity = host_identity()
    async with connect(ops_url, "opsbook link") as connection, acting(connection, identity) as acted:
        owner = await store.owner(acted)
        return await store.create_link(
            acted, Role.ADMIN, created_by=identity.name, operator_id=owner["id"] if owner else None
        )
