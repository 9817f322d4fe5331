"""The levers of an issue in the console: each answers with the page, and that offers the undo."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from opsbook.core.access import Identity
from opsbook.core.errors import Invalid, OpsbookError
from opsbook.core.postgres.connect import Connection
from opsbook.debugging.errors import issues
from opsbook.debugging.errors.issue_pages import IGNORED_FOR, Number, is_number, show
from opsbook.debugging.errors.list_pages import page_of
from opsbook.debugging.page_parts import Checked, Operator, pulling, texts_of

_MOST: Final = 10**12

router = APIRouter()

Decide = Callable[[Connection, Mapping[str, str]], Awaitable[object]]


@router.post("/errors/{issue}/resolve", dependencies=Checked)
async def resolve(request: Request, operator: Operator, issue: Number) -> Response:
    """Done with until it comes back, or does in a later release."""

    async def decide(connection: Connection, form: Mapping[str, str]) -> object:
        return await issues.resolve(connection, issue, in_next_release=form.get("when") == "next release")

    return await _decide(request, operator, issue, decide)


@router.post("/errors/{issue}/ignore", dependencies=Checked)
async def ignore(request: Request, operator: Operator, issue: Number) -> Response:
    """Not to be seen, for good or until the first of what is given."""

    async def decide(connection: Connection, form: Mapping[str, str]) -> object:
        length = IGNORED_FOR.get(form.get("length", ""))
        until = datetime.now(UTC) + length if length else None
        more, people = _amount(form, "events"), _amount(form, "people")
        return await issues.ignore(connection, issue, until=until, events=more, people=people)

    return await _decide(request, operator, issue, decide)


@router.post("/errors/{issue}/reopen", dependencies=Checked)
async def reopen(request: Request, operator: Operator, issue: Number) -> Response:
    """To be looked at again."""
    return await _decide(request, operator, issue, lambda connection, _: issues.reopen(connection, issue))


@router.post("/errors/{issue}/assign", dependencies=Checked)
async def assign(request: Request, operator: Operator, issue: Number) -> Response:
    """Somebody looks after it; nobody where the field is empty."""
    return await _decide(
        request,
        operator,
        issue,
        lambda connection, form: issues.assign(connection, issue, form.get("assignee") or None),
    )


@router.post("/errors/{issue}/undo", dependencies=Checked)
async def undo(request: Request, operator: Operator, issue: Number) -> Response:
    """Take the last decision back."""

    async def decide(connection: Connection, form: Mapping[str, str]) -> object:
        return await issues.undo(connection, issue, _number(form.get("record", ""), "record"))

    return await _decide(request, operator, issue, decide)


@router.post("/errors/{issue}/comment", dependencies=Checked)
async def comment(request: Request, operator: Operator, issue: Number) -> Response:
    """Something to know about it."""
    form = await texts_of(request)
    try:
        async with pulling(request, operator) as connection:
            made = await issues.comment(connection, issue, form.get("text", ""))
    except OpsbookError as error:
        return await show(request, operator, issue, error)
    return RedirectResponse(f"{page_of(issue)}?commented={made['id']}", 303)


@router.post("/errors/{issue}/uncomment", dependencies=Checked)
async def uncomment(request: Request, operator: Operator, issue: Number) -> Response:
    """Take one's own comment back."""
    form = await texts_of(request)
    async with pulling(request, operator) as connection:
        await issues.uncomment(connection, issue, _number(form.get("comment", ""), "comment"))
    return RedirectResponse(page_of(issue), 303)


@router.post("/errors/{issue}/merge", dependencies=Checked)
async def merge(request: Request, operator: Operator, issue: Number) -> Response:
    """Make this issue part of another; the answer is the other's page."""
    form = await texts_of(request)
    try:
        into = _number(form.get("into", "").removeprefix("#"), "issue")
        async with pulling(request, operator, form.get("reason")) as connection:
            moved = (await issues.describe_issue(connection, issue)).groups
            await issues.merge(connection, into, [issue])
    except OpsbookError as error:
        return await show(request, operator, issue, error)
    joined = "-".join(str(group["id"]) for group in moved)
    return RedirectResponse(f"{page_of(into)}?joined={joined}", 303)


@router.post("/errors/{issue}/split", dependencies=Checked)
async def split(request: Request, operator: Operator, issue: Number) -> Response:
    """Take groups out into an issue of their own; the answer is the new one's page."""
    form = await request.form()
    given = [each for each in form.getlist("group") if isinstance(each, str)]
    reason = str(form.get("reason") or "").replace("\0", "")
    try:
        groups = [_number(each, "group") for each in given]
        async with pulling(request, operator, reason) as connection:
            made = await issues.split(connection, issue, groups)
    except OpsbookError as error:
        return await show(request, operator, issue, error)
    return RedirectResponse(f"{page_of(made['id'])}?parted={issue}", 303)


async def _decide(request: Request, operator: Identity, issue: int, decide: Decide) -> Response:
    """Pull a lever of the issue; the page that answers offers to undo it."""
    form = await texts_of(request)
    try:
        async with pulling(request, operator, form.get("reason")) as connection:
            before = await issues.last_decision(connection, issue)
            await decide(connection, form)
            last = await issues.last_decision(connection, issue)
    except OpsbookError as error:
        return await show(request, operator, issue, error)
    changed = last is not None and (before is None or last["id"] != before["id"])
    query = f"?done={last['id']}" if changed and last and "record" not in form else ""
    return RedirectResponse(page_of(issue) + query, 303)


def _amount(form: Mapping[str, str], name: str) -> int | None:
    text = form.get(name, "")
    amount = _number(text, "number") if text else None
    if amount is not None and not 1 <= amount <= _MOST:
        raise Invalid(f"{text!r} is too large or too small; give a number from 1 to {_MOST}")
    return amount


def _number(text: str, what: str) -> int:
    if not is_number(text):
        raise Invalid(f"{text[:20]!r} is no number of a {what}; write digits alone, such as 17")
    return int(text)
