"""One issue in the console: what it is, how often and whom it meets, what is decided about it, its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from psycopg.rows import DictRow

from opsbook.core.access import Identity, Role
from opsbook.core.errors import OpsbookError
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.debugging.errors import events, issues
from opsbook.debugging.errors.event_view import view_of
from opsbook.debugging.errors.list_pages import page_of, state_of
from opsbook.debugging.errors.search import EventFilter, Page, Place, find_events
from opsbook.debugging.errors.trend import trend_of
from opsbook.debugging.page_parts import Viewer
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
_MOST_DIGITS: Final = 15

router = APIRouter()

Number = Annotated[int, Path(ge=1, le=2**53 - 1)]


@router.get("/errors/{issue}")
async def issue_page(request: Request, viewer: Viewer, issue: Number) -> Response:
    """An issue; of one that was merged, that into which it was."""
    async with runtime_of(request).pool.connection() as connection:
        found = await issues.get_issue(connection, issue)
    if found["id"] != issue:
        return RedirectResponse(page_of(found["id"]), 303)
    return await show(request, viewer, issue)


async def show(request: Request, viewer: Identity, issue: int, error: OpsbookError | None = None) -> HTMLResponse:
    """The page of an issue, with what its address says was just done, or what a lever was refused for."""
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
    numbers = [int(each) for each in text.split("-") if is_number(each)]
    own = {group["id"] for group in groups}
    return numbers if numbers and set(numbers) < own else ()


def _other(text: str, issue: int) -> int | None:
    return int(text) if is_number(text) and int(text) != issue else None


def is_number(text: str) -> bool:
    """Whether a text is a whole number that may be one of ours."""
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
