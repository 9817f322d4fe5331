"""Errors in the console: the list of issues, and what errors contribute to the search and the overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, get_args
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from psycopg.rows import DictRow

from opsbook.core.errors import Invalid, NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.debugging.errors import events, issues
from opsbook.debugging.errors.search import EventFilter, IssueFilter, Place, Status, count_issues, find_issues
from opsbook.debugging.errors.trend import trend_of
from opsbook.debugging.page_parts import Viewer
from opsbook.debugging.protocol.event import LEVELS
from opsbook.debugging.protocol.identifiers import event_id
from opsbook.web.contributions import Concern, Hit, Lever, finds, offer, worries
from opsbook.web.templates import render

LIST: Final = "/ops/errors"
TABS: Final = ("unresolved", "regressed", "ignored", "resolved", "all")
SPANS: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
FIELDS: Final = ("text", "endpoint", "user", "release", "environment", "level", "tag", "assignee", "trace", "within")
_STATUSES: Final[dict[str, Status]] = {name: name for name in get_args(Status)}
_STEP: Final = timedelta(hours=1)
_STEPS: Final = 24
_ROWS: Final = 50
_LONGEST_FIELD: Final = 400
_MOST_HITS: Final = 10
_MOST_CONCERNS: Final = 6

router = APIRouter()

offer(
    Lever(
        "Look into an error",
        "Stack, locals, request, person; resolve or ignore it",
        LIST,
        "debugging",
        "Logging & Debugging",
        "What went wrong?",
    )
)


@finds
async def find_errors(connection: Connection, text: str) -> Sequence[Hit]:
    """Issues by number, title and place; an event by its id."""
    if not text:
        return ()
    if (identifier := event_id(text)) is not None:
        return await _event_hit(connection, UUID(identifier))
    page = await find_issues(connection, IssueFilter(events=EventFilter(text=text)), limit=_MOST_HITS)
    rows = list(page.rows)
    if text.isascii() and text.isdigit() and len(text) < 16:
        rows[:0] = await _issue_of_number(connection, int(text))
    return [Hit(row["title"], page_of(row["id"]), "Error", "debugging", state_of(row)) for row in rows]


@worries
async def unattended_issues(connection: Connection) -> Sequence[Concern]:
    """Issues that came back or are new, until they are assigned, resolved or ignored."""
    found = await issues.unattended(connection, _MOST_CONCERNS + 1)
    named = [_concern(row) for row in found[:_MOST_CONCERNS]]
    if len(found) > _MOST_CONCERNS:
        named.append(Concern("More errors are new or came back", "The list has them all.", LIST, "warn"))
    return named


@router.get("/errors")
async def list_page(request: Request, viewer: Viewer) -> HTMLResponse:
    """Issues that match the address, the one seen last first."""
    asked = {name: request.query_params.get(name, "").strip().replace("\0", "")[:_LONGEST_FIELD] for name in FIELDS}
    status = request.query_params.get("status", "")
    tab = status if status in TABS else TABS[0]
    now = datetime.now(UTC)
    wanted = IssueFilter(_STATUSES.get(tab), asked["assignee"] or None, _events_of(asked, now))
    before = Place.parse(text) if (text := request.query_params.get("before")) else None
    async with runtime_of(request).pool.connection() as connection:
        page = await find_issues(connection, wanted, limit=_ROWS, after=before)
        counts = await count_issues(connection, wanted)
        trends = await issues.trends(connection, [row["id"] for row in page.rows])
    return render(
        request,
        "debugging/errors.html",
        viewer,
        issues=page.rows,
        trends={issue: trend_of(rows, now, _STEP, _STEPS) for issue, rows in trends.items()},
        tabs_of_states=TABS,
        tab=tab,
        counts=counts,
        asked=asked,
        spans=list(SPANS),
        levels=list(dict.fromkeys(LEVELS.values())),
        older=str(page.next) if page.next else None,
        paged=before is not None,
        state_of=state_of,
    )


def page_of(issue: int) -> str:
    """The address of an issue's page."""
    return f"{LIST}/{issue}"


def state_of(issue: DictRow) -> str:
    """An issue's status in words: one that came back is said to be regressed."""
    if issue["status"] == "unresolved" and issue["regressed_at"]:
        return "regressed"
    return "resolved in next release" if issue["resolved_in_next_release"] else issue["status"]


def _events_of(asked: Mapping[str, str], now: datetime) -> EventFilter:
    """Which events an address asks for.

    Raises:
        Invalid: The tag or the trace is malformed.
    """
    name, equals, value = asked["tag"].partition("=")
    if asked["tag"] and not (name and equals):
        raise Invalid(f"{asked['tag'][:40]!r} is no tag; write it as plan=pro")
    span = SPANS.get(asked["within"])
    return EventFilter(
        since=now - span if span else None,
        endpoint=asked["endpoint"] or None,
        user=asked["user"] or None,
        release=asked["release"] or None,
        environment=asked["environment"] or None,
        level=asked["level"] or None,
        trace=_trace(asked["trace"]),
        tags={name: value} if asked["tag"] else {},
        text=asked["text"] or None,
    )


def _trace(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise Invalid(f"{text[:40]!r} is no trace: it has 32 hexadecimal digits") from error


async def _event_hit(connection: Connection, identifier: UUID) -> Sequence[Hit]:
    try:
        row = (await events.get_event(connection, identifier)).row
    except NotFound:
        return ()
    path = f"{page_of(row['issue_id'])}/events/{identifier.hex}"
    return [Hit(row["message"].partition("\n")[0][:200], path, "Event", "debugging", identifier.hex)]


async def _issue_of_number(connection: Connection, number: int) -> Sequence[DictRow]:
    try:
        return [await issues.get_issue(connection, number)]
    except NotFound:
        return []


def _concern(row: DictRow) -> Concern:
    came, since = ("came back", row["regressed_at"]) if row["regressed_at"] else ("is new", row["first_seen"])
    met = f"{_counted(row['events'], 'event')}, {_counted(row['people'], 'user')}"
    detail = f"{row['culprit'][:120]}; {met}. Assign, resolve or ignore it." if row["culprit"] else f"{met}."
    return Concern(f"{row['title'][:120]} {came}", detail, page_of(row["id"]), "warn", since)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
