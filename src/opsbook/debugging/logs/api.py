"""HTTP of the logs: search, follow, and change what is logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from psycopg.rows import DictRow
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.fields import Moment
from opsbook.core.http.identity import bearer_identity, requires
from opsbook.core.http.problems import problems
from opsbook.debugging.logs import store
from opsbook.debugging.logs.filter import LONGEST_TEXT, PLACE_PATTERN, LogFilter, Place, read_fields
from opsbook.debugging.logs.following import Follower
from opsbook.debugging.logs.streams import FollowerResponse, LogReaders, begin_at

router = APIRouter(tags=["Logs"], responses=problems(400, 401, 403, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.OPERATOR, "logs:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "logs:write"))]

LevelName: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
Text = Annotated[str | None, Query(max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]
LoggerName = Annotated[
    str, Field(pattern=r"^[\x21-\x7e]{1,200}$", description="And those below it; `root` is all loggers.")
]
_WEEK_MINUTES = 7 * 24 * 60


def _filter(
    level: Annotated[LevelName | None, Query(description="The least severe that is wanted.")] = None,
    logger: Text = None,
    request: Text = None,
    trace: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")] = None,
    user: Text = None,
    text: Annotated[Text, Query(description="Words, or beginnings of words, that the line has.")] = None,
    field: Annotated[
        list[Annotated[str, Field(max_length=LONGEST_TEXT, pattern=r"^[^=\x00]+=[^\x00]*$")]] | None,
        Query(description="As status=500.", max_length=10),
    ] = None,
) -> LogFilter:
    return LogFilter(level, logger, request, trace, user, text, read_fields(field or []))


Wanted = Annotated[LogFilter, Depends(_filter)]


class LineOutput(BaseModel):
    """One log line, scrubbed."""

    id: str
    logged_at: datetime
    level: LevelName
    logger: str
    message: str
    fields: Mapping[str, Any]
    exception: str | None
    request_id: str | None
    trace_id: str | None
    user_id: str | None
    host: str | None
    process_id: int | None
    program: str | None
    release: str | None


class LinesOutput(BaseModel):
    """Lines, newest first, and where the next page begins."""

    lines: Sequence[LineOutput]
    next: str | None


class LevelInput(BaseModel):
    """A level for a while."""

    model_config = ConfigDict(extra="forbid")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    logger: LoggerName = "root"
    minutes: int = Field(15, ge=1, le=_WEEK_MINUTES, description="After which every process goes back by itself.")
    reason: str | None = Field(None, max_length=2000, pattern=r"^[^\x00]*$")


class LevelOutput(BaseModel):
    """A level in force."""

    logger: str
    level: str
    until: datetime
    seconds_left: float
    set_by: str
    set_at: datetime
    reason: str | None


@router.get("/api/admin/logs", summary="Search the logs, newest first")
async def search(
    runtime: Running,
    reader: Reads,
    wanted: Wanted,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    before: Annotated[str | None, Query(pattern=PLACE_PATTERN, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=store.MOST_LINES)] = 100,
) -> LinesOutput:
    await runtime.get(LogReaders).note(runtime, reader, wanted)
    place = Place.parse(before) if before else None
    async with runtime.pool.connection() as connection:
        rows = await store.search(connection, wanted, since=since, until=until, before=place, limit=limit + 1)
    following = str(store.place_of(rows[limit - 1])) if len(rows) > limit else None
    return LinesOutput(lines=[LineOutput.model_validate(plain(row)) for row in rows[:limit]], next=following)


@router.get(
    "/api/admin/logs/stream",
    summary="Each line as it is logged, as server-sent events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}, **problems(429)},
)
async def stream(
    request: Request,
    runtime: Running,
    reader: Reads,
    wanted: Wanted,
    last_event_id: Annotated[str | None, Header(description="A reader that comes back may get lines twice.")] = None,
) -> Response:
    readers = runtime.get(LogReaders)
    readers.require_room()
    await readers.note(runtime, reader, wanted)
    async with runtime.pool.connection() as connection:
        follower = Follower(wanted, begin_at(last_event_id, await store.clock(connection)))
    return FollowerResponse(await readers.follow(runtime, follower, partial(bearer_identity, request), _events))


@router.get("/api/admin/log-level", summary="List the levels that are set for a while")
async def levels(runtime: Running, _: Reads) -> list[LevelOutput]:
    async with runtime.pool.connection() as connection:
        return [LevelOutput.model_validate(row) for row in await store.levels(connection)]


@router.put("/api/admin/log-level", summary="Log from another level up, for a while")
async def set_level(runtime: Running, operator: Writes, given: LevelInput) -> LevelOutput:
    period = timedelta(minutes=given.minutes)
    async with acting(runtime.pool, operator, given.reason) as connection:
        row = await store.set_level(connection, given.level, period, given.logger, given.reason)
    return LevelOutput.model_validate(row)


@router.delete("/api/admin/log-level", summary="Go back now", status_code=204, responses=problems(404))
async def end_level(runtime: Running, operator: Writes, logger: Annotated[LoggerName, Query()] = "root") -> None:
    async with acting(runtime.pool, operator) as connection:
        await store.end_level(connection, logger)


def plain(row: DictRow) -> dict[str, Any]:
    """A line as JSON has it."""
    line = {name: value for name, value in row.items() if name in LineOutput.model_fields}
    return {"id": f"{row['writer']}-{row['number']}", **line}


def _events(lines: Sequence[DictRow]) -> bytes:
    return b"".join(
        b"event: line\nid: %b\ndata: %b\n\n" % (line["logged_at"].isoformat().encode(), orjson.dumps(plain(line)))
        for line in lines
    )
