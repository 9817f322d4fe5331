"""HTTP of the timelines: what one person did, as a page of entries or as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from opsbook.core.access import Identity, Role
from opsbook.core.http.dependencies import Running
from opsbook.core.http.fields import Moment
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.debugging.users.export import MEDIA_TYPES, Format, export, plain
from opsbook.debugging.users.looking import note_look
from opsbook.debugging.users.sources.interface import BEGINNING, END
from opsbook.debugging.users.timeline import LONGEST_ID, MOST_ENTRIES, Place, Trails, Wanted

router = APIRouter(tags=["Users"], responses=problems(400, 401, 403, 404, 422, 503))

Looks = Annotated[Identity, Depends(requires(Role.OPERATOR, "users:read"))]
UserId = Annotated[
    str,
    Path(min_length=1, max_length=LONGEST_ID, pattern=r"^[^\x00-\x1f\x7f]*$", description="The person's id."),
]
Kinds = Annotated[list[str], Query(alias="kind", max_length=20, description="Given once for each; left out, all.")]


class EntryOutput(BaseModel):
    """One thing that a person did, or that happened to them."""

    at: datetime
    kind: str
    title: str
    details: Mapping[str, Any]
    key: str
    path: str | None


class TimelineOutput(BaseModel):
    """A page of a person's trail, the newest first."""

    entries: Sequence[EntryOutput]
    older: str | None
    """To be given as `before` for the next page."""
    missing: Mapping[str, str]
    """Kinds that could not be looked at, each with the reason."""
    notes: Sequence[str]
    """What has to be known to read the entries rightly."""


@router.get("/api/admin/users/{user_id}/timeline", summary="What one person did; that it was read is recorded")
async def timeline(
    runtime: Running,
    identity: Looks,
    user_id: UserId,
    kinds: Kinds = [],  # noqa: B006 - FastAPI copies it
    since: Moment | None = None,
    until: Moment | None = None,
    before: Annotated[str | None, Query(max_length=500, description="`older` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = 100,
) -> TimelineOutput:
    trails = runtime.get(Trails)
    wanted = _wanted(user_id, kinds, since, until)
    wanted = replace(wanted, before=Place.parse(before) if before else None, limit=limit).checked(trails.kinds)
    await note_look(runtime.pool, identity, wanted)
    found = await trails.read(wanted)
    return TimelineOutput(
        entries=[EntryOutput.model_validate(plain(entry)) for entry in found.entries],
        older=str(found.older) if found.older else None,
        missing=found.missing,
        notes=trails.notes,
    )


@router.get(
    "/api/admin/users/{user_id}/timeline/export", summary="All of it, as a file", response_class=StreamingResponse
)
async def export_timeline(
    runtime: Running,
    identity: Looks,
    user_id: UserId,
    kinds: Kinds = [],  # noqa: B006 - FastAPI copies it
    since: Moment | None = None,
    until: Moment | None = None,
    format: Format = "csv",  # noqa: A002 - the address's own word
) -> StreamingResponse:
    trails = runtime.get(Trails)
    wanted = replace(_wanted(user_id, kinds, since, until), limit=MOST_ENTRIES).checked(trails.kinds)
    await note_look(runtime.pool, identity, wanted, taken_as=format)
    return StreamingResponse(export(trails, wanted, format), media_type=MEDIA_TYPES[format])


def _wanted(user_id: str, kinds: Sequence[str], since: datetime | None, until: datetime | None) -> Wanted:
    return Wanted(user_id, tuple(kinds), since or BEGINNING, until or END)
