"""Changing flags by command, where a change may need a second person, and asking for what was left behind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, TypeVar

import typer

from opsbook.core.access.identity import host_identity
from opsbook.core.console import run, settings
from opsbook.core.ops_database import Work
from opsbook.core.postgres.connect import connect
from opsbook.flags.approval.store import acting_or_asking

T = TypeVar("T")

AskOption = Annotated[bool, typer.Option("--ask", help="Ask a second person for what needs one and is left behind.")]


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


def wants_to_ask(flags: Sequence[str], *, ask: bool, yes: bool) -> bool:
    """Whether a second person is to be asked for the changes of flags; offered where somebody is at the keyboard."""
    if not flags or ask or yes or not sys.stdin.isatty():
        return ask and bool(flags)
    return typer.confirm(f"Ask a second person for the changes of {', '.join(flags)}?")
