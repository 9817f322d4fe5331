"""HTTP of the segments: constraints under a name, shared between flags."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from psycopg.rows import DictRow
from pydantic import BaseModel

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.flags import segment_store as store
from opsbook.flags.fields import Reason, SegmentFields
from opsbook.flags.model import NAME_PATTERN
from opsbook.flags.preconditions import IfMatch, entity_tag, expected

router = APIRouter(tags=["Feature flags"], responses=problems(400, 401, 403, 404, 409, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "flags:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "flags:write"))]
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="The segment's name.")]


class SegmentOutput(BaseModel):
    """A segment as it is."""

    name: str
    description: str
    constraints: Sequence[dict[str, Any]]
    revision: int
    created_at: datetime
    updated_at: datetime
    used_by: Sequence[str] = ()


@router.get("/api/admin/flag-segments", summary="List the segments")
async def list_segments(runtime: Running, _: Reads) -> list[SegmentOutput]:
    async with runtime.pool.connection() as connection:
        return [SegmentOutput.model_validate(row) for row in await store.list_segments(connection)]


@router.get("/api/admin/flag-segments/{name}", summary="Show a segment")
async def show(runtime: Running, _: Reads, name: Name, response: Response) -> SegmentOutput:
    async with runtime.pool.connection() as connection:
        return _tagged(response, await store.get_segment(connection, name))


@router.put("/api/admin/flag-segments/{name}", summary="Create a segment, or change one")
async def put_segment(
    runtime: Running,
    identity: Writes,
    name: Name,
    given: SegmentFields,
    response: Response,
    if_match: IfMatch = None,
) -> SegmentOutput:
    async with acting(runtime.pool, identity, given.reason) as connection:
        row = await store.put_segment(
            connection,
            name,
            given.constraints,
            given.description,
            expected_revision=expected(given.revision, if_match),
        )
    return _tagged(response, row)


@router.delete("/api/admin/flag-segments/{name}", summary="Delete a segment that no rule names", status_code=204)
async def delete_segment(
    runtime: Running,
    identity: Writes,
    name: Name,
    reason: Annotated[Reason, Query()] = None,
    if_match: IfMatch = None,
) -> None:
    async with acting(runtime.pool, identity, reason) as connection:
        await store.delete_segment(connection, name, expected_revision=expected(None, if_match))


def _tagged(response: Response, row: DictRow) -> SegmentOutput:
    response.headers["ETag"] = entity_tag(row["revision"])
    return SegmentOutput.model_validate(row)
