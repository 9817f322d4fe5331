"""HTTP of the readers: kits confirm what they serve, people ask who obeys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core.access import Identity, Role
from opsbook.core.http.dependencies import Running
from opsbook.core.http.fields import Number
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.flags.fields import MOST_REVISION
from opsbook.flags.readers import store
from opsbook.flags.readers.confirming import Confirmation
from opsbook.flags.readers.obedience import Kind

router = APIRouter(tags=["Feature flags"], responses=problems(400, 401, 403, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "flags:read"))]
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,255}$")]


class ConfirmationInput(BaseModel):
    """A process that follows the stream serves a revision, or is still there."""

    model_config = ConfigDict(extra="ignore")  # a newer kit may say more

    id: UUID = Field(description="The process's own, made when it started to follow.")
    host: Text
    pid: Number = Field(ge=1, le=2**31 - 1)
    name: Text = Field(description="The program that it is.")
    revision: Number = Field(ge=0, le=MOST_REVISION)
    served_ms: float = Field(
        default=0, ge=0, le=1e15, strict=True, description="For how long it has served the revision by now."
    )


class ReaderOutput(BaseModel):
    """A process that follows the flags."""

    id: UUID
    host: str
    pid: int
    name: str
    kind: Kind
    revision: int
    obeys: bool
    confirmed_at: datetime
    lag_ms: float | None = Field(
        description="From the entry in the history, just before the commit, until it served the revision;"
        " null for what it began with."
    )
    started_at: datetime
    seen_at: datetime


class ObedienceOutput(BaseModel):
    """Who serves a revision or a later one, of all who follow the flags."""

    revision: int
    obeying: int
    slowest_ms: float | None
    readers: Sequence[ReaderOutput]


@router.post("/api/flags/confirmations", summary="Confirm the revision that a process serves", status_code=204)
async def confirm(runtime: Running, _: Reads, given: ConfirmationInput) -> None:
    async with runtime.pool.connection() as connection:
        await store.confirm(connection, Confirmation(**given.model_dump(), kind="http"))


@router.get("/api/admin/flag-readers", summary="Who follows the flags, and who obeys a revision")
async def readers(
    runtime: Running,
    _: Reads,
    revision: Annotated[int | None, Query(ge=1, le=MOST_REVISION, description="Left out, the newest.")] = None,
) -> ObedienceOutput:
    async with runtime.pool.connection() as connection:
        return ObedienceOutput.model_validate(await store.obedience(connection, revision), from_attributes=True)
