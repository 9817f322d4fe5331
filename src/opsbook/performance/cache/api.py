"""HTTP of the cache: what it does for each function, and the lever that has it forget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.core.metrics import measures
from opsbook.performance.cache import store
from opsbook.performance.cache.metrics import cache_metrics
from opsbook.performance.cache.wording import in_words, purge_from

router = APIRouter(tags=["Cache"], responses=problems(400, 401, 403, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "performance:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "performance:write"))]
measures("cache")(cache_metrics)

_NO_NUL = "^[^\x00]*$"


class FunctionOutput(BaseModel):
    """What the cache did for one function in all processes, and what they hold of it now."""

    function: str
    hits: int = Field(description="Answered from a process's memory.")
    shared_hits: int = Field(description="Answered from Redis.")
    stale: int = Field(description="Answered with an old result while it was computed anew.")
    misses: int = Field(description="Computed while the caller waited.")
    waits: int = Field(description="Waited for another caller's computation.")
    refreshes: int = Field(description="Computed behind the callers' backs.")
    errors: int = Field(description="Computations that raised.")
    hit_rate: float = Field(description="Part of calls that did not have to wait, 0 to 1.")
    seconds: float = Field(description="Spent computing.")
    seconds_saved: float = Field(description="About how long callers would have computed without the cache.")
    processes: int = Field(description="That have reported within the last minute.")
    entries: int
    bytes: int


class PurgeInput(BaseModel):
    """What is to be forgotten: all, a function, one call of it, or a tag."""

    model_config = ConfigDict(extra="forbid")

    all: StrictBool = False
    function: str | None = Field(None, max_length=1000, pattern=_NO_NUL, description="Its name, with its module.")
    tag: str | None = Field(None, max_length=1000, pattern=_NO_NUL)
    key: str | None = Field(None, max_length=10_000, description="The call's arguments as a JSON array.")
    reason: str | None = Field(None, max_length=2000, pattern=_NO_NUL, description="Why; it stands in the audit.")


class PurgeOutput(BaseModel):
    """What every process was told to forget."""

    purged: str
    revision: int


@router.get("/api/admin/cache", summary="What the cache does for each function")
async def show(
    runtime: Running, _: Reads, hours: Annotated[int, Query(ge=1, le=24 * 31)] = 24
) -> Sequence[FunctionOutput]:
    async with runtime.pool.connection() as connection:
        rows = await store.statistics(connection, timedelta(hours=hours))
    return [FunctionOutput.model_validate(each, from_attributes=True) for each in rows]


@router.post("/api/admin/cache/purge", summary="Have every process forget cached results")
async def purge(runtime: Running, identity: Writes, given: PurgeInput) -> PurgeOutput:
    wanted = purge_from(everything=given.all, function=given.function, tag=given.tag, key=given.key)
    async with acting(runtime.pool, identity, given.reason) as connection:
        revision = await store.purge(connection, wanted)
    return PurgeOutput(purged=in_words(wanted), revision=revision)
