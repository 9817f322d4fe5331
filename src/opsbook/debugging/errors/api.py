"""HTTP of errors for operators: find issues and events, decide about issues."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response
from psycopg.rows import DictRow
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.convertors import Convertor, register_url_convertor

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.fields import Moment
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.core.runtime import Runtime
from opsbook.debugging.errors import events, issues
from opsbook.debugging.errors.outputs import (
    CommentOutput,
    EventDetailOutput,
    EventOutput,
    EventsOutput,
    IssueDetailOutput,
    IssueOutput,
    IssuesOutput,
)
from opsbook.debugging.errors.search import EventFilter, IssueFilter, Place, Status, find_events, find_issues


class RecordConvertor(Convertor[int]):
    """A record's number in a path, so that `events` is none; no more digits than Postgres has for one."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("record", RecordConvertor())
router = APIRouter(tags=["Errors"], responses=problems(400, 401, 403, 404, 409, 413, 422, 503))

_MOST = 2**53 - 1
"""As far as JSON's numbers are whole in every language (RFC 8259, 6)."""
_DETAILS = ("document", "attachments", "feedback", "older", "newer")
_NO_NUL = "^[^\x00]*$"

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "errors:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "errors:write"))]
Number = Annotated[int, Path(ge=1, le=_MOST, description="The issue's number.")]
Ids = Annotated[list[Annotated[int, Field(ge=1, le=_MOST)]], Field(min_length=1, max_length=100)]
Text = Annotated[str | None, Query(max_length=200, pattern=_NO_NUL)]
Reason = Annotated[str | None, Field(max_length=1_000, pattern=_NO_NUL)]
Limit = Annotated[int, Query(ge=1, le=500)]
AfterIssue = Annotated[str | None, Query(pattern="^[0-9]{1,16}_[0-9]{1,18}$", description="`next` of the page before.")]
AfterEvent = Annotated[
    str | None,
    Query(pattern="^[0-9]{1,16}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="`next` of the page before."),
]


async def _asked(
    project: Annotated[int | None, Query(ge=1, le=_MOST)] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    endpoint: Text = None,
    user: Text = None,
    release: Text = None,
    environment: Text = None,
    level: Text = None,
    trace: UUID | None = None,
    tag: Annotated[
        list[Annotated[str, Field(pattern="^[^=\x00]{1,200}=[^\x00]{0,200}$")]] | None,
        Query(max_length=10, description="As `plan=pro`; all given must be there."),
    ] = None,
    text: Text = None,
) -> EventFilter:
    tags = {name: value for name, _, value in (each.partition("=") for each in tag or ())}
    return EventFilter(project, None, since, until, endpoint, user, release, environment, level, trace, tags, text)


Asked = Annotated[EventFilter, Depends(_asked)]


class DecisionInput(BaseModel):
    """Why; it stands in the audit."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = None


class ResolveInput(DecisionInput):
    """How an issue is resolved."""

    in_next_release: bool = Field(False, description="Reopen only for a release that came after its last one.")


class IgnoreInput(DecisionInput):
    """Until when an issue is ignored; for good where nothing is given."""

    until: AwareDatetime | None = None
    events: Annotated[int | None, Field(ge=1, le=10**12, description="So many more of them.")] = None
    people: Annotated[int | None, Field(ge=1, le=10**12, description="So many more people who meet it.")] = None


class AssignInput(DecisionInput):
    """Who looks after an issue; null for nobody."""

    assignee: str | None = Field(max_length=200, min_length=1, pattern=_NO_NUL)


class CommentInput(BaseModel):
    """Something to know about an issue."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=10_000, pattern=_NO_NUL)


class MergeInput(DecisionInput):
    """Which issues become part of this one."""

    issues: Ids


class SplitInput(DecisionInput):
    """Which groups of events leave this issue."""

    groups: Ids


@router.get("/api/admin/errors", summary="Find issues")
async def list_issues(
    runtime: Running,
    _: Reads,
    asked: Asked,
    status: Status | None = None,
    assignee: Text = None,
    limit: Limit = 100,
    after: AfterIssue = None,
) -> IssuesOutput:
    wanted = IssueFilter(status, assignee, asked)
    async with runtime.pool.connection() as connection:
        page = await find_issues(connection, wanted, limit=limit, after=_place(after))
    return IssuesOutput(issues=[_issue(row) for row in page.rows], next=str(page.next) if page.next else None)


@router.get("/api/admin/errors/events", summary="Find events")
async def list_events(
    runtime: Running, _: Reads, asked: Asked, limit: Limit = 100, after: AfterEvent = None
) -> EventsOutput:
    return await _events(runtime, asked, limit, after)


@router.get("/api/admin/errors/events/{event_id}", summary="Show an event")
async def show_event(runtime: Running, _: Reads, event_id: UUID) -> EventDetailOutput:
    async with runtime.pool.connection() as connection:
        found = await events.get_event(connection, event_id)
    return EventDetailOutput.model_validate({**found.row, **{name: getattr(found, name) for name in _DETAILS}})


@router.get(
    "/api/admin/errors/events/{event_id}/attachments/{attachment}",
    summary="Download a file that came with an event",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def download(runtime: Running, _: Reads, event_id: UUID, attachment: Number) -> Response:
    async with runtime.pool.connection() as connection:
        row = await events.get_attachment(connection, event_id, attachment)
    # Whatever it says it is, a browser only ever saves it.
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(row['filename'], safe='')}",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(bytes(row["content"]), media_type="application/octet-stream", headers=headers)


@router.get("/api/admin/errors/{issue:record}", summary="Show an issue; of one that was merged, that into which it was")
async def show_issue(runtime: Running, _: Reads, issue: Number) -> IssueDetailOutput:
    async with runtime.pool.connection() as connection:
        return IssueDetailOutput.model_validate(await issues.describe_issue(connection, issue))


@router.get("/api/admin/errors/{issue:record}/events", summary="Find events of an issue")
async def list_events_of_issue(
    runtime: Running, _: Reads, issue: Number, asked: Asked, limit: Limit = 100, after: AfterEvent = None
) -> EventsOutput:
    return await _events(runtime, replace(asked, issue=issue), limit, after)


@router.post("/api/admin/errors/{issue:record}/resolve", summary="Resolve an issue, until it comes back")
async def resolve(runtime: Running, identity: Writes, issue: Number, given: ResolveInput | None = None) -> IssueOutput:
    given = given or ResolveInput(in_next_release=False)
    async with acting(runtime.pool, identity, given.reason) as connection:
        return _issue(await issues.resolve(connection, issue, in_next_release=given.in_next_release))


@router.post("/api/admin/errors/{issue:record}/ignore", summary="Ignore an issue, for good or until something")
async def ignore(runtime: Running, identity: Writes, issue: Number, given: IgnoreInput | None = None) -> IssueOutput:
    given = given or IgnoreInput()
    async with acting(runtime.pool, identity, given.reason) as connection:
        row = await issues.ignore(connection, issue, until=given.until, events=given.events, people=given.people)
    return _issue(row)


@router.post("/api/admin/errors/{issue:record}/reopen", summary="Look at an issue again")
async def reopen(runtime: Running, identity: Writes, issue: Number, given: DecisionInput | None = None) -> IssueOutput:
    async with acting(runtime.pool, identity, given.reason if given else None) as connection:
        return _issue(await issues.reopen(connection, issue))


@router.post("/api/admin/errors/{issue:record}/assign", summary="Say who looks after an issue")
async def assign(runtime: Running, identity: Writes, issue: Number, given: AssignInput) -> IssueOutput:
    async with acting(runtime.pool, identity, given.reason) as connection:
        return _issue(await issues.assign(connection, issue, given.assignee))


@router.post("/api/admin/errors/{issue:record}/comments", summary="Note something about an issue", status_code=201)
async def comment(runtime: Running, identity: Writes, issue: Number, given: CommentInput) -> CommentOutput:
    async with acting(runtime.pool, identity) as connection:
        return CommentOutput.model_validate(await issues.comment(connection, issue, given.text))


@router.post(
    "/api/admin/errors/{issue:record}/merge", summary="Make other issues part of this one, with events to come"
)
async def merge(runtime: Running, identity: Writes, issue: Number, given: MergeInput) -> IssueOutput:
    async with acting(runtime.pool, identity, given.reason) as connection:
        return _issue(await issues.merge(connection, issue, given.issues))


@router.post(
    "/api/admin/errors/{issue:record}/split", summary="Take groups out into an issue of their own", status_code=201
)
async def split(runtime: Running, identity: Writes, issue: Number, given: SplitInput) -> IssueOutput:
    async with acting(runtime.pool, identity, given.reason) as connection:
        return _issue(await issues.split(connection, issue, given.groups))


@router.delete("/api/admin/errors/{issue:record}", summary="Forget an issue and its events", status_code=204)
async def delete(
    runtime: Running,
    identity: Writes,
    issue: Number,
    reason: Annotated[str | None, Query(max_length=1_000, pattern=_NO_NUL)] = None,
) -> None:
    async with acting(runtime.pool, identity, reason) as connection:
        await issues.delete(connection, issue)


async def _events(runtime: Runtime, asked: EventFilter, limit: int, after: str | None) -> EventsOutput:
    async with runtime.pool.connection() as connection:
        page = await find_events(connection, asked, limit=limit, after=_place(after))
    found = [EventOutput.model_validate(row) for row in page.rows]
    return EventsOutput(events=found, next=str(page.next) if page.next else None)


def _issue(row: DictRow) -> IssueOutput:
    return IssueOutput.model_validate(row)


def _place(after: str | None) -> Place | None:
    return Place.parse(after) if after else None
