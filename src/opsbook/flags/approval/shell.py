"""Changing flags by command, where a change may need a second person."""

from __future__ import annotations

from typing import TypeVar

from opsbook.core.access.identity import host_identity
from opsbook.core.console import run, settings
from opsbook.core.ops_database import Work
from opsbook.core.postgres.connect import connect
from opsbook.flags.approval.store import acting_or_asking

T = TypeVar("T")


def act_or_ask(reason: str | None, work: Work[T]) -> T:
    """As `ops_database.act`; a change that needs a second person is asked for instead.

    Raises:
        ApprovalAsked: It now waits as a request.
        NotConfigured: No ops database is known.
        Unavailable: It does not answer.
    """

    async def doing() -> T:
        async with (
            connect(settings().require_url("ops"), "opsbook cli") as connection,
            acting_or_asking(connection, host_identity(), reason) as acted,
        ):
            return await work(acted)

    return run(doing())
