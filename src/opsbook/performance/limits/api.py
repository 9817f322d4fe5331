"""HTTP of the rate limits: what is in force, other limits for a while, who was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.errors import Invalid
from opsbook.core.http.dependencies import Running
from opsbook.core.http.fields import Moment
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.performance.limits import store
from opsbook.performance.limits.policy import MOST, NAME_PATTERN
from opsbook.performance.limits.store import Limit

router = APIRouter(tags=["Rate limits"], responses=problems(400, 401, 403, 404, 409, 413, 422, 503))

_LONGEST_SECONDS = 10 * 366 * 86_400

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "performance:read"))]
ReadsKeys = Annotated[Identity, Depends(requires(Role.OPERATOR, "performance:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "performance:write"))]
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="The rate limit's name.")]
Most = Annotated[int | None, Field(ge=1, le=MOST, description="Left out, what the code declares.")]
Reason = Annotated[str | None, Field(max_length=500, pattern="^[^\x00]*$", description="Why; it stands in the audit.")]
Hours = Annotated[int, Query(ge=1, le=24 * 7)]


class LimitInput(BaseModel):
    """What is to be in force instead of what the service's code declares."""

    model_config = ConfigDict(extra="forbid")

    per_second: Most = None
    per_minute: Most = None
    per_hour: Most = None
    per_day: Most = None
    mode: Literal["enforce", "observe", "off"] = "enforce"
    for_seconds: int | None = Field(None, ge=1, le=_LONGEST_SECONDS, description="After which it goes back.")
    until: Moment | None = Field(None, description="When it goes back; left out with for_seconds, never.")
    reason: Reason = None

    def end(self) -> datetime | None:
        """When it goes back.

        Raises:
            Invalid: Two ends are given.
        """
        if self.for_seconds is not None and self.until is not None:
            raise Invalid("a limit goes back once: give for_seconds or until")
        return self.until if self.for_seconds is None else datetime.now(UTC) + timedelta(seconds=self.for_seconds)


class LimitOutput(BaseModel):
    """A rate limit as it is."""

    policy: str
    declared: Mapping[str, int]
    set: Mapping[str, int]
    in_force: Mapping[str, int]
    mode: str
    until: datetime | None
    reason: str | None
    updated_by: str | None
    updated_at: datetime
    revision: int
    is_changed: bool
    key: str
    when_away: str
    admitted: int = Field(description="In the last 15 minutes, in all processes.")
    refused: int
    processes: int
    in_memory: int = Field(description="Processes that count for themselves, for they have no Redis.")
    warning: str | None


class MinuteOutput(BaseModel):
    """What was counted in a minute."""

    minute: datetime
    admitted: int
    refused: int


class KeysOutput(BaseModel):
    """Who stands out; a key may be somebody's address."""

    refused: Sequence[Mapping[str, Any]]
    near: Sequence[Mapping[str, Any]]


@router.get("/api/admin/rate-limits", summary="List the rate limits")
async def list_limits(runtime: Running, _: Reads) -> list[LimitOutput]:
    async with runtime.pool.connection() as connection:
        return [_output(limit) for limit in await store.list_limits(connection)]


@router.get("/api/admin/rate-limits/{policy}", summary="One rate limit")
async def get_limit(runtime: Running, _: Reads, policy: Name) -> LimitOutput:
    async with runtime.pool.connection() as connection:
        return _output(await store.get_limit(connection, policy))


@router.put("/api/admin/rate-limits/{policy}", summary="Have another limit in force, for good or for a while")
async def set_limit(runtime: Running, identity: Writes, policy: Name, given: LimitInput) -> LimitOutput:
    limits = given.model_dump(exclude={"for_seconds", "until", "reason"})
    until = given.end()
    async with acting(runtime.pool, identity, given.reason) as connection:
        return _output(await store.set_limit(connection, policy, limits, until=until, reason=given.reason, keep=False))


@router.delete("/api/admin/rate-limits/{policy}", summary="Go back to what the code declares")
async def reset_limit(
    runtime: Running, identity: Writes, policy: Name, reason: Annotated[Reason, Query()] = None
) -> LimitOutput:
    async with acting(runtime.pool, identity, reason) as connection:
        return _output(await store.reset_limit(connection, policy))


@router.get("/api/admin/rate-limits/{policy}/history", summary="Admitted and refused, minute by minute")
async def history(runtime: Running, _: Reads, policy: Name, hours: Hours = 1) -> list[MinuteOutput]:
    async with runtime.pool.connection() as connection:
        rows = await store.history(connection, policy, timedelta(hours=hours))
    return [MinuteOutput.model_validate(row) for row in rows]


@router.get("/api/admin/rate-limits/{policy}/keys", summary="Who was refused, and who is near")
async def keys(runtime: Running, _: ReadsKeys, policy: Name, hours: Hours = 1) -> KeysOutput:
    async with runtime.pool.connection() as connection:
        refused = await store.refused_keys(connection, policy, timedelta(hours=hours))
        return KeysOutput(refused=refused, near=await store.near_keys(connection, policy))


def _output(limit: Limit) -> LimitOutput:
    return LimitOutput.model_validate(limit.as_dict())
