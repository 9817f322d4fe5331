"""What the flag pages share: who may open them, their addresses, what a form sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import quote, urlencode

import psycopg
from fastapi import Depends, Path, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from opsbook.core.access import Identity, Role
from opsbook.core.database_errors import explain
from opsbook.core.http.identity import csrf_checked, signed_in
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.flags.approval.store import acting_or_asking
from opsbook.flags.model import NAME_PATTERN
from opsbook.web.pages import safe_path

LIST = "/ops/flags"

Viewer = Annotated[Identity, Depends(signed_in(Role.VIEWER))]
Operator = Annotated[Identity, Depends(signed_in(Role.OPERATOR))]
Name = Annotated[str, Path(pattern=NAME_PATTERN)]
Checked = [Depends(csrf_checked)]


def page_of(name: str) -> str:
    """The address of a flag's page."""
    return f"{LIST}/{quote(name, safe='')}"


async def texts_of(request: Request) -> Mapping[str, str]:
    """A form's fields, of which the last of a name counts."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


@asynccontextmanager
async def pulling(request: Request, person: Identity, reason: str | None) -> AsyncIterator[Connection]:
    """A transaction that acts for the person at the page; what the database refuses is told as we tell it.

    Raises:
        OpsbookError: The database refused a value, or does not answer.
    """
    try:
        async with acting_or_asking(runtime_of(request).pool, person, reason or None) as connection:
            yield connection
    except psycopg.Error as error:
        told = explain(error)
        if told is None:
            raise
        raise told from error


async def revision_seen(request: Request, newest: int) -> str:
    """The revision that a form was made for, as it says itself: one that comes back still stands for the old state."""
    return (await texts_of(request)).get("revision") or str(newest)


def texts(form: FormData, name: str) -> list[str]:
    """All values of a field that stands in a form several times, in the form's order."""
    return [value for value in form.getlist(name) if isinstance(value, str)]


def back_to(form: Mapping[str, str], name: str, revision: int | None) -> RedirectResponse:
    """To the list if the lever was pulled there, else to the flag, saying what has just changed."""
    back = safe_path(form.get("back", ""))
    if back.partition("?")[0] == LIST:
        joint = "&" if "?" in back else "?"
        return RedirectResponse(f"{back}{joint}{urlencode({'changed': name})}", 303)
    return RedirectResponse(f"{page_of(name)}?changed={revision}" if revision else page_of(name), 303)
