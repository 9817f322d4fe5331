"""What pages with levers share: who may open them, what a form sent, and what the database refuses of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, TypeVar

import psycopg
from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.database_errors import explain
from opsbook.core.errors import Invalid
from opsbook.core.http.identity import csrf_checked, signed_in
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of

Viewer = Annotated[Identity, Depends(signed_in(Role.VIEWER))]
Operator = Annotated[Identity, Depends(signed_in(Role.OPERATOR))]
Checked = [Depends(csrf_checked)]

Fields = TypeVar("Fields", bound=BaseModel)

DURATIONS: Mapping[str, str] = {
    "900": "15 minutes",
    "3600": "1 hour",
    "7200": "2 hours",
    "28800": "8 hours",
    "86400": "1 day",
    "604800": "7 days",
}
"""For how long a lever may be pulled, by seconds as a form sends them."""


async def texts_of(request: Request) -> Mapping[str, str]:
    """A form's fields, of which the last of a name counts."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def read_form(kind: type[Fields], form: Mapping[str, object]) -> Fields:
    """A form's fields as the API would take them; those that are empty are left out, and those unknown.

    Raises:
        Invalid: A value is malformed, told field by field.
    """
    given = {name: value for name, value in form.items() if name in kind.model_fields and value not in ("", None)}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise Invalid("; ".join(_sentence(each) for each in error.errors())) from error


@asynccontextmanager
async def pulling(request: Request, person: Identity, reason: str | None) -> AsyncIterator[Connection]:
    """A transaction that acts for the person at the page; what the database refuses is told as we tell it.

    Raises:
        OpsbookError: The database refused a value, or does not answer.
    """
    with refusals_told():
        async with acting(runtime_of(request).pool, person, reason or None) as connection:
            yield connection


@contextmanager
def refusals_told() -> Iterator[None]:
    """Within it, what the database refuses is told as we tell it.

    Raises:
        OpsbookError: The database refused a value, or does not answer.
    """
    try:
        yield
    except psycopg.Error as error:
        told = explain(error)
        if told is None:
            raise
        raise told from error


def _sentence(problem: Any) -> str:
    field = str(problem["loc"][0]).replace("_", " ") if problem["loc"] else "form"
    what = problem["msg"].removeprefix("Value error, ")
    return f"{field}: {what[:1].lower()}{what[1:]}"
