"""HTTP of check-ins: the plain address of a monitor, and what operators see and decide."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core.access import Identity, Role
from opsbook.core.access.credentials import is_well_formed
from opsbook.core.audit import acting
from opsbook.core.errors import NotFound
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.debugging.checkins import recording, store
from opsbook.debugging.checkins.arrival import Arrival, Expectation, parse_environment
from opsbook.debugging.checkins.monitor import Status
from opsbook.debugging.checkins.schedule import Schedule
from opsbook.debugging.checkins.wording import describe

router = APIRouter(tags=["Check-ins"], responses=problems(400, 401, 403, 404, 409, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "check-ins:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "check-ins:write"))]
Slug = Annotated[str, Path(pattern="^[a-z0-9][a-z0-9._-]{0,49}$", description="The monitor's name.")]
Environment = Annotated[str, Field(pattern=r"^[^/\s\x00-\x1f\x7f]{1,64}$")]
Where = Annotated[Environment | None, Query(description="Its environment, where it checks in from several.")]
Why = Annotated[str | None, Query(max_length=1000, pattern="^[^\x00]*$")]
Minutes = Annotated[float, Field(ge=1 / 60, le=30 * 24 * 60, allow_inf_nan=False, strict=True)]
Threshold = Annotated[int, Field(ge=1, le=720, strict=True)]

_PATH = "/api/check-in/{secret}"
_RUNS = 100
_STATUSES = {"start": Status.IN_PROGRESS, "fail": Status.ERROR}


class ExpectationInput(BaseModel):
    """What a monitor is expected to do; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    environment: Environment | None = Field(None, description="Left out, that of this server.")
    schedule: str | None = Field(None, max_length=200, description="`5 * * * *`, `@daily` or `every 2 hours`.")
    timezone: str = Field("UTC", max_length=64)
    margin_minutes: Minutes | None = None
    max_runtime_minutes: Minutes | None = None
    failure_threshold: Threshold | None = None
    recovery_threshold: Threshold | None = None

    def expectation(self) -> Expectation:
        """Raises `Invalid` for a schedule that is none."""
        return Expectation(
            Schedule.parse(self.schedule, self.timezone) if self.schedule is not None else None,
            timedelta(minutes=self.margin_minutes) if self.margin_minutes is not None else None,
            timedelta(minutes=self.max_runtime_minutes) if self.max_runtime_minutes is not None else None,
            self.failure_threshold,
            self.recovery_threshold,
        )


class CheckInInput(BaseModel):
    """A check-in by a caller with a token."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ok", "error", "in_progress"] = "ok"
    environment: Environment | None = Field(None, description="Left out, that of this server.")
    id: UUID | None = Field(None, description="The run's; left out, the newest that is still going, else a new one.")
    duration_seconds: float | None = Field(None, ge=0, le=10**9, allow_inf_nan=False, strict=True)


class MuteInput(BaseModel):
    """For how long a monitor worries nobody."""

    model_config = ConfigDict(extra="forbid")

    minutes: float | None = Field(
        None, gt=0, le=366 * 24 * 60, allow_inf_nan=False, strict=True, description="Left out, for ever."
    )


class MonitorOutput(BaseModel):
    """A monitor, and how it is doing now."""

    slug: str
    environment: str
    project_id: int
    state: str
    failing: bool
    schedule: str | None
    timezone: str
    due_at: datetime | None
    margin_seconds: float
    max_runtime_seconds: float
    failure_threshold: int
    recovery_threshold: int
    last_status: str | None
    last_at: datetime | None
    failures: int
    failing_since: datetime | None
    open_since: datetime | None
    muted_until: datetime | None
    has_address: bool
    problem: str | None


class RunOutput(BaseModel):
    """One run, or one that did not come."""

    id: UUID
    status: str
    started_at: datetime
    finished_at: datetime | None
    duration_seconds: float | None
    expected_at: datetime | None
    exit_code: int | None
    release: str | None
    trace_id: UUID | None


class AddressOutput(BaseModel):
    """The address of a monitor, at the one moment in which it is shown."""

    url: str


@router.get(_PATH, summary="Check in: it went well", response_class=PlainTextResponse)
@router.post(_PATH, summary="Check in: it went well", response_class=PlainTextResponse)
async def check_in_well(runtime: Running, secret: str) -> str:
    return await _check_in(runtime, secret, Status.OK)


@router.get(_PATH + "/{event}", summary="Check in: it begins, or failed", response_class=PlainTextResponse)
@router.post(_PATH + "/{event}", summary="Check in: it begins, or failed", response_class=PlainTextResponse)
async def check_in_as(runtime: Running, secret: str, event: Literal["start", "fail"]) -> str:
    return await _check_in(runtime, secret, _STATUSES[event])


@router.get("/api/admin/check-ins", summary="List what checks in")
async def list_monitors(runtime: Running, _: Reads, environment: Where = None) -> list[MonitorOutput]:
    async with runtime.pool.connection() as connection:
        monitors = await store.list_monitors(connection, None, environment)
    now = datetime.now(UTC)
    return [MonitorOutput.model_validate(describe(monitor, now)) for monitor in monitors]


@router.get("/api/admin/check-ins/{slug}", summary="Show one")
async def show(runtime: Running, _: Reads, slug: Slug, environment: Where = None) -> MonitorOutput:
    async with runtime.pool.connection() as connection:
        monitor = await store.find(connection, slug, environment)
    return MonitorOutput.model_validate(describe(monitor, datetime.now(UTC)))


@router.get("/api/admin/check-ins/{slug}/runs", summary="Its newest runs")
async def runs(
    runtime: Running,
    _: Reads,
    slug: Slug,
    environment: Where = None,
    limit: Annotated[int, Query(ge=1, le=_RUNS)] = _RUNS,
) -> Sequence[RunOutput]:
    async with runtime.pool.connection() as connection:
        monitor = await store.find(connection, slug, environment)
        rows = (await store.runs(connection, [monitor], limit))[monitor.id]
    return [RunOutput.model_validate(row) for row in rows]


@router.put("/api/admin/check-ins/{slug}", summary="Say what is expected of it; it is made where it is not there")
async def expect(
    runtime: Running, identity: Writes, slug: Slug, given: ExpectationInput, reason: Why = None
) -> MonitorOutput:
    expectation, now = given.expectation(), datetime.now(UTC)
    environment = given.environment or parse_environment(runtime.settings.environment)
    async with acting(runtime.pool, identity, reason) as connection:
        monitor = await recording.expect(connection, slug, environment, expectation, now)
    return MonitorOutput.model_validate(describe(monitor, now))


@router.post("/api/admin/check-ins/{slug}", summary="Check in with a token", status_code=204)
async def check_in(runtime: Running, identity: Writes, slug: Slug, given: CheckInInput) -> None:
    arrival = Arrival(
        slug,
        Status(given.status),
        datetime.now(UTC),
        environment=given.environment or parse_environment(runtime.settings.environment),
        id=given.id,
        duration_seconds=given.duration_seconds,
    )
    async with acting(runtime.pool, identity) as connection:
        await recording.record_one(connection, arrival)


@router.put("/api/admin/check-ins/{slug}/mute", summary="Let it worry nobody", status_code=204)
async def mute(
    runtime: Running, identity: Writes, slug: Slug, given: MuteInput, environment: Where = None, reason: Why = None
) -> None:
    until = datetime.now(UTC) + timedelta(minutes=given.minutes) if given.minutes else store.FOR_EVER
    async with acting(runtime.pool, identity, reason) as connection:
        await store.mute(connection, await store.find(connection, slug, environment), until)


@router.delete("/api/admin/check-ins/{slug}/mute", summary="Let it worry again", status_code=204)
async def unmute(runtime: Running, identity: Writes, slug: Slug, environment: Where = None, reason: Why = None) -> None:
    async with acting(runtime.pool, identity, reason) as connection:
        await store.mute(connection, await store.find(connection, slug, environment), None)


@router.post("/api/admin/check-ins/{slug}/address", summary="A new address; shown this once", status_code=201)
async def new_address(
    request: Request, runtime: Running, identity: Writes, slug: Slug, environment: Where = None, reason: Why = None
) -> AddressOutput:
    async with acting(runtime.pool, identity, reason) as connection:
        secret = await store.new_secret(connection, await store.find(connection, slug, environment))
    return AddressOutput(url=f"{str(request.base_url).rstrip('/')}{store.path_of(secret)}")


@router.delete("/api/admin/check-ins/{slug}", summary="Forget it and its runs", status_code=204)
async def delete(runtime: Running, identity: Writes, slug: Slug, environment: Where = None, reason: Why = None) -> None:
    async with acting(runtime.pool, identity, reason) as connection:
        await store.delete(connection, await store.find(connection, slug, environment))


async def _check_in(runtime: Running, secret: str, status: Status) -> str:
    """Whoever knows the address may check in by it, and do nothing else."""
    if not is_well_formed(secret):
        raise NotFound("this is no address of a monitor; `opsbook check-ins address NAME` makes one")
    now = datetime.now(UTC)
    async with runtime.pool.connection() as connection, connection.transaction():
        project_id, slug, environment = await store.of_secret(connection, secret)
        await recording.record_one(connection, Arrival(slug, status, now, project_id, environment))
    return "ok\n"
