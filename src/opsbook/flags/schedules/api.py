"""HTTP of the schedules: list, add, ramp, pause, resume, remove."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict, JsonValue

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.fields import Moment
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.flags.fields import MOST_REVISION, Reason
from opsbook.flags.model import NAME_PATTERN
from opsbook.flags.schedules import store
from opsbook.flags.schedules.model import MOST_STEPS, Steps, dates, ramp

router = APIRouter(tags=["Feature flags"], responses=problems(400, 401, 403, 404, 409, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "flags:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "flags:write"))]
Id = Annotated[int, Path(ge=1, le=MOST_REVISION, description="The schedule's number.")]
Why = Annotated[Reason, Query()]

_YEAR_MINUTES = 60 * 24 * 366


Percentage = Annotated[float, Field(ge=0.01, le=100, json_schema_extra={"multipleOf": 0.01})]


class RampInput(BaseModel):
    """From one percentage to the next, so many minutes apart."""

    model_config = ConfigDict(extra="forbid")

    percentages: Sequence[Percentage] = Field(
        min_length=1,
        max_length=MOST_STEPS,
        description="Taken in rising order, however they are given.",
        json_schema_extra={"uniqueItems": True},
    )
    every_minutes: int = Field(ge=1, le=_YEAR_MINUTES)
    start: Moment | None = Field(None, description="The first step's moment; left out, now.")


_NULL: JsonValue = {"type": "null"}
_DATES = ("on_at", "off_at")
_ONE_KIND: JsonDict = {
    "oneOf": [
        {"required": ["ramp"], "properties": {"ramp": {"type": "object"}, **dict.fromkeys(_DATES, _NULL)}},
        {
            "properties": {"ramp": _NULL},
            "anyOf": [{"required": [each], "properties": {each: {"type": "string"}}} for each in _DATES],
        },
    ]
}


class ScheduleInput(BaseModel):
    """Either moments to go on and off at, or a ramp."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_ONE_KIND)

    flag: str = Field(pattern=NAME_PATTERN)
    on_at: Moment | None = None
    off_at: Moment | None = None
    ramp: RampInput | None = None
    reason: Reason = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.ramp is not None) == (self.on_at is not None or self.off_at is not None):
            raise ValueError("give a ramp, or on_at, off_at or both")
        return self

    def steps(self) -> Steps:
        """The schedule's steps.

        Raises:
            Invalid: They are none that can be taken one after the other.
        """
        if self.ramp is None:
            return dates(self.on_at, self.off_at)
        start = self.ramp.start or datetime.now(UTC)
        return ramp(sorted(self.ramp.percentages), timedelta(minutes=self.ramp.every_minutes), start)


class ScheduleOutput(BaseModel):
    """A schedule as it is."""

    id: int
    flag: str
    kind: str
    steps: Sequence[dict[str, Any]]
    done: int
    next_step: dict[str, Any] | None
    paused_at: datetime | None
    paused_because: str | None
    finished_at: datetime | None
    made_by: str
    created_at: datetime


@router.get("/api/admin/flag-schedules", summary="List the schedules, the soonest first")
async def list_schedules(
    runtime: Running,
    _: Reads,
    flag: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    finished: bool = False,
) -> list[ScheduleOutput]:
    async with runtime.pool.connection() as connection:
        rows = await store.list_schedules(connection, flag, finished=finished)
    return [ScheduleOutput.model_validate(row) for row in rows]


@router.post("/api/admin/flag-schedules", summary="Schedule a flag", status_code=201)
async def add(runtime: Running, identity: Writes, given: ScheduleInput) -> ScheduleOutput:
    async with acting(runtime.pool, identity, given.reason) as connection:
        row = await store.add(connection, given.flag, "ramp" if given.ramp else "dates", given.steps())
    return ScheduleOutput.model_validate(row)


@router.post("/api/admin/flag-schedules/{number}/pause", summary="Take no further step")
async def pause(runtime: Running, identity: Writes, number: Id, reason: Why = None) -> ScheduleOutput:
    async with acting(runtime.pool, identity, reason) as connection:
        return ScheduleOutput.model_validate(await store.pause(connection, number))


@router.post("/api/admin/flag-schedules/{number}/resume", summary="Go on")
async def resume(runtime: Running, identity: Writes, number: Id, reason: Why = None) -> ScheduleOutput:
    async with acting(runtime.pool, identity, reason) as connection:
        return ScheduleOutput.model_validate(await store.resume(connection, number))


@router.delete("/api/admin/flag-schedules/{number}", summary="Remove a schedule", status_code=204)
async def remove(runtime: Running, identity: Writes, number: Id, reason: Why = None) -> None:
    async with acting(runtime.pool, identity, reason) as connection:
        await store.remove(connection, number)
