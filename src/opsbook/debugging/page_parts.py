"""What pages of this chapter share: who may open them, what a form sent, acting for the person at the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated

import psycopg
from fastapi import Depends, Request

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.database_errors import explain
from opsbook.core.http.identity import csrf_checked, signed_in
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of

Viewer = Annotated[Identity, Depends(signed_in(Role.VIEWER))]
Operator = Annotated[Identity, Depends(signed_in(Role.OPERATOR))]
Checked = [Depends(csrf_checked)]

_LONGEST_REASON = 2_000


async def texts_of(request: Request) -> Mapping[str, str]:
    """A form's fields without what surrounds them, of which the last of a name counts."""
    form = await request.form()
    return {name: value.strip().replace("\0", "") for name, value in form.items() if isinstance(value, str)}


@asynccontextmanager
async def pulling(request: Request, person: Identity, reason: str | None = None) -> AsyncIterator[Connection]:
    """A transaction that acts for the person at the page; what the database refuses is told as we tell it.

    Raises:
        OpsbookError: The database refused a value, or does not answer.
    """
    try:
        async with acting(runtime_of(request).pool, person, (reason or "")[:_LONGEST_REASON] or None) as connection:
            yield connection
    except psycopg.Error as error:
        told = explain(error)
        if told is None:
            raise
        raise told from error
