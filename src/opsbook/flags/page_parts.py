"""What the flag pages share: their addresses, and the way back after a lever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Path, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from opsbook.core.access import Identity
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.flags.approval.store import acting_or_asking
from opsbook.flags.model import NAME_PATTERN
from opsbook.web.forms import refusals_told, texts_of
from opsbook.web.pages import safe_path

LIST = "/ops/flags"

Name = Annotated[str, Path(pattern=NAME_PATTERN)]


def page_of(name: str) -> str:
    """The address of a flag's page."""
    return f"{LIST}/{quote(name, safe='')}"


@asynccontextmanager
async def pulling(request: Request, person: Identity, reason: str | None) -> AsyncIterator[Connection]:
    """A transaction that acts for the person at the page; what the database refuses is told as we tell it.

    Raises:
        OpsbookError: The database refused a value, or does not answer.
    """
    with refusals_told():
        async with acting_or_asking(runtime_of(request).pool, person, reason or None) as connection:
            yield connection


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
