"""HTTP of the change requests: list, reject. A token is nobody in particular, so none approves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.flags.approval import store
from opsbook.flags.fields import MOST_REVISION, Reason
from opsbook.flags.model import NAME_PATTERN

router = APIRouter(tags=["Feature flags"], responses=problems(400, 401, 403, 404, 409, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "flags:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "flags:write"))]
Number = Annotated[int, Path(ge=1, le=MOST_REVISION, description="The request's number.")]
Why = Annotated[Reason, Query()]


class RequestOutput(BaseModel):
    """A change that was asked for."""

    id: int
    flag: str
    fields: dict[str, Any]
    base_revision: int
    reason: str | None
    status: str
    made_by: str
    made_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None


@router.get("/api/admin/flag-change-requests", summary="List the changes that wait for a second person")
async def list_requests(
    runtime: Running,
    _: Reads,
    flag: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    decided: bool = False,
) -> Sequence[RequestOutput]:
    async with runtime.pool.connection() as connection:
        rows = await store.list_requests(connection, flag, decided=decided)
    return [RequestOutput.model_validate(row) for row in rows]


@router.post("/api/admin/flag-change-requests/{number}/reject", summary="Do not make the change", status_code=204)
async def reject(runtime: Running, identity: Writes, number: Number, reason: Why = None) -> None:
    async with acting(runtime.pool, identity, reason) as connection:
        await store.reject(connection, number)
