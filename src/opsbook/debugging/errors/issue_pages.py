"""One issue in the console: what it is, whom it meets, how it goes on, and what is decided about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from psycopg.rows import DictRow

from opsbook.core.access import Identity, Role
from opsbook.core.errors import Invalid, OpsbookError
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.debugging.errors import events, issues
from opsbook.debugging.errors.event_view import view_of
from opsbook.debugging.errors.list_pages import page_of, state_of
from opsbook.debugging.errors.search import EventFilter, Page, Place, find_events
from opsbook.debugging.errors.trend import trend_of
from opsbook.debugging.page_parts import Checked, Operator, Viewer, pulling, texts_of
from opsbook.web.templates import render

IGNORED_FOR: Final[Mapping[str, timedelta | None]] = {
    "for good": None,
    "for an hour": timedelta(hours=1),
    "for a day": timedelta(days=1),
    "for a week": timedelta(days=7),
    "for 30 days": timedelta(days=30),
}
_STEP: Final = timedelta(hours=6)
_STEPS: Final = 56
_EVENTS: Final = 20
_VALUES: Final = 5
_MOST: Final = 10**12
_MOST_DIGITS: Final = 15

router = APIRouter()

Number = Annotated[int, Path(ge=1, le=2**53 - 1)]
Decide = Callable[[Connection, Mapping[str, str]], Awaitable[object]]


@router.get("/errors/{issue}")
async def issue_page(request: Request, viewer: Viewer, issue: Number) -> Response:
    """An issue; of one that was merged, that into which it was."""
    async with runtime_of(request).pool.connection() as connection:
        found = await issues.get_issue(connection, issue)
    if found["id"] != issue:
        return RedirectResponse(page_of(found["id"]), 303)
    return await _page(request, viewer, issue)


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
        return await _page(request, operator, issue, error)
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
        return await _page(request, operator, issue, error)
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
        return await _page(request, operator, issue, error)
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
        return await _page(request, operator, issue, error)
    changed = last is not None and (before is None or last["id"] != before["id"])
    query = f"?done={last['id']}" if changed and last and "record" not in form else ""
    return RedirectResponse(page_of(issue) + query, 303)


async def _page(request: Request, viewer: Identity, issue: int, error: OpsbookError | None = None) -> HTMLResponse:
    query = request.query_params
    before = Place.parse(text) if (text := query.get("before")) else None
    async with runtime_of(request).pool.connection() as connection:
        detail = await issues.describe_issue(connection, issue)
        page = await find_events(connection, EventFilter(issue=detail.issue["id"]), limit=_EVENTS, after=before)
        decision = await issues.last_decision(connection, issue)
        newest = await _newest(connection, page) if before is None else None
    now = datetime.now(UTC)
    return render(
        request,
        "debugging/issue.html",
        viewer,
        status=error.status if error else 200,
        error=str(error) if error else None,
        issue=detail.issue,
        state_of=state_of,
        trend=trend_of(detail.trend, now, _STEP, _STEPS),
        groups=detail.groups,
        values=_shares(detail.values),
        comments=detail.comments,
        events=page.rows,
        older=str(page.next) if page.next else None,
        paged=before is not None,
        newest=newest,
        view=view_of(newest.document) if newest else None,
        decision=decision if decision and query.get("done") == str(decision["id"]) else None,
        commented=query.get("commented", ""),
        joined=_joined(query.get("joined", ""), detail.groups),
        parted=_other(query.get("parted", ""), issue),
        lengths=list(IGNORED_FOR),
        may_change=viewer.may(Role.OPERATOR),
    )


async def _newest(connection: Connection, page: Page) -> events.EventDetail | None:
    return await events.get_event(connection, page.rows[0]["event_id"]) if page.rows else None


def _shares(values: Sequence[DictRow]) -> Mapping[str, Sequence[dict[str, Any]]]:
    """By field the most frequent values, each with its share of the events that have the field."""
    fields: dict[str, list[DictRow]] = {}
    for row in values:
        fields.setdefault(row["field"], []).append(row)
    return {
        field: [
            {**row, "share": round(100 * row["events"] / sum(each["events"] for each in rows))}
            for row in rows[:_VALUES]
        ]
        for field, rows in fields.items()
    }


def _joined(text: str, groups: Sequence[DictRow]) -> Sequence[int]:
    """The groups that a merger has just brought, if they can be taken out again."""
    numbers = [int(each) for each in text.split("-") if _is_number(each)]
    own = {group["id"] for group in groups}
    return numbers if numbers and set(numbers) < own else ()


def _other(text: str, issue: int) -> int | None:
    return int(text) if _is_number(text) and int(text) != issue else None


def _amount(form: Mapping[str, str], name: str) -> int | None:
    text = form.get(name, "")
    amount = _number(text, "number") if text else None
    if amount is not None and not 1 <= amount <= _MOST:
        raise Invalid(f"{text!r} is too large or too small; give a number from 1 to {_MOST}")
    return amount


def _number(text: str, what: str) -> int:
    if not _is_number(text):
        raise Invalid(f"{text[:20]!r} is no number of a {what}; write digits alone, such as 17")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
