"""HTTP of the feature flags: the runbook's admin endpoint, and the stream that kits follow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core.access import Identity, Role
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import bearer_identity, requires, still_known
from opsbook.core.http.problems import problems
from opsbook.core.http.server_sent import event_stream
from opsbook.flags import store
from opsbook.flags.approval.store import acting_or_asking
from opsbook.flags.fields import MOST_REVISION, FlagFields, FlagInput, Reason
from opsbook.flags.model import NAME_PATTERN, Flag
from opsbook.flags.preconditions import IfMatch, entity_tag, expected
from opsbook.flags.service import FlagStream

router = APIRouter(tags=["Feature flags"], responses=problems(202, 400, 401, 403, 404, 409, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "flags:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "flags:write"))]
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="The flag's name.")]


class FlagOutput(BaseModel):
    """A flag as it is."""

    name: str
    enabled: bool
    kill_switch: bool
    rollout_percentage: float
    description: str
    owner: str | None
    tags: Sequence[str]
    value_type: str
    rules: Sequence[Any]
    variants: Sequence[Any]
    prerequisites: Sequence[Any]
    expires_at: datetime | None
    off_when_expired: bool
    revision: int
    created_at: datetime | None
    updated_at: datetime | None
    archived_at: datetime | None
    requires_approval: bool
    state: str


class RevisionOutput(BaseModel):
    """One change of a flag."""

    revision: int
    name: str
    action: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changed_at: datetime
    actor: str
    actor_kind: str
    reason: str | None


class UndoInput(BaseModel):
    """Where to go back to; left out, to before the last change."""

    model_config = ConfigDict(extra="forbid")

    revision: int | None = Field(None, ge=1, le=MOST_REVISION)
    reason: Reason = None


@router.get("/api/admin/feature-flags", summary="List the flags")
async def list_flags(runtime: Running, _: Reads, archived: bool = False) -> list[FlagOutput]:
    async with runtime.pool.connection() as connection:
        return [_output(flag) for flag in await store.list_flags(connection, archived=archived)]


@router.post("/api/admin/feature-flags", summary="Create a flag, or change one", responses={201: {"model": FlagOutput}})
async def create_or_change(
    runtime: Running, identity: Writes, given: FlagInput, response: Response, if_match: IfMatch = None
) -> FlagOutput:
    async with acting_or_asking(runtime.pool, identity, given.reason) as connection:
        flag, created = await store.create_or_change_flag(
            connection, given.name, given.changes(), expected_revision=expected(given.revision, if_match)
        )
    response.status_code = 201 if created else 200
    return _tagged(response, flag)


@router.get("/api/admin/feature-flags/{name}", summary="Show a flag")
async def show(runtime: Running, _: Reads, name: Name, response: Response) -> FlagOutput:
    async with runtime.pool.connection() as connection:
        return _tagged(response, await store.get_flag(connection, name))


@router.patch("/api/admin/feature-flags/{name}", summary="Change the given fields of a flag")
async def change(
    runtime: Running, identity: Writes, name: Name, given: FlagFields, response: Response, if_match: IfMatch = None
) -> FlagOutput:
    async with acting_or_asking(runtime.pool, identity, given.reason) as connection:
        flag = await store.change_flag(
            connection, name, given.changes(), expected_revision=expected(given.revision, if_match)
        )
    return _tagged(response, flag)


@router.delete("/api/admin/feature-flags/{name}", summary="Delete a flag; undo brings it back", status_code=204)
async def delete(
    runtime: Running,
    identity: Writes,
    name: Name,
    reason: Annotated[Reason, Query()] = None,
    if_match: IfMatch = None,
) -> None:
    async with acting_or_asking(runtime.pool, identity, reason) as connection:
        await store.delete_flag(connection, name, expected_revision=expected(None, if_match))


@router.get("/api/admin/feature-flags/{name}/history", summary="What a flag has been, newest first")
async def history(
    runtime: Running,
    _: Reads,
    name: Name,
    before_revision: Annotated[int | None, Query(ge=1, le=MOST_REVISION)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[RevisionOutput]:
    async with runtime.pool.connection() as connection:
        rows = await store.history(connection, name, before_revision=before_revision, limit=limit)
    return [RevisionOutput.model_validate(row) for row in rows]


@router.post("/api/admin/feature-flags/{name}/undo", summary="Go back to an earlier revision")
async def undo(
    runtime: Running, identity: Writes, name: Name, response: Response, given: UndoInput | None = None
) -> FlagOutput | None:
    async with acting_or_asking(runtime.pool, identity, given.reason if given else None) as connection:
        flag = await store.undo(connection, name, to_revision=given.revision if given else None)
    return _tagged(response, flag) if flag else None


@router.get(
    "/api/flags/stream",
    summary="Every flag, then every change, as server-sent events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream(
    request: Request, runtime: Running, _: Reads, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    held = int(last_event_id) if last_event_id and re.fullmatch(r"\d{1,18}", last_event_id) else None
    is_known = partial(still_known, partial(bearer_identity, request))
    return event_stream(runtime.get(FlagStream).events(held), is_known)


def _output(flag: Flag) -> FlagOutput:
    return FlagOutput.model_validate({**msgspec.to_builtins(flag), "state": flag.state})


def _tagged(response: Response, flag: Flag) -> FlagOutput:
    response.headers["ETag"] = entity_tag(flag.revision)
    return _output(flag)
