"""HTTP of error projects: their keys, quotas, and what became of what they sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.debugging.errors import projects
from opsbook.debugging.errors.outputs import KeyOutput, ProjectOutput
from opsbook.debugging.errors.projects import USUAL_QUOTAS, Quotas

router = APIRouter(tags=["Errors"], responses=problems(400, 401, 403, 404, 409, 413, 422, 503))

NAME_PATTERN = "^[a-z0-9][a-z0-9._-]{0,99}$"

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "errors:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "errors:write"))]
Quota = Annotated[int | None, Field(ge=1, lt=2**31)]
Name = Annotated[str, Path(pattern=NAME_PATTERN)]
Key = Annotated[str, Path(pattern="^[A-Za-z0-9]{1,64}$")]


class QuotasInput(BaseModel):
    """How much may be sent; null for any amount. Beyond its megabytes (of 1,000,000 bytes) nothing at all is kept."""

    model_config = ConfigDict(extra="forbid")

    events_per_minute: Quota = None
    events_per_hour: Quota = None
    events_per_day: Quota = None
    megabytes_per_day: Quota = None

    def quotas(self) -> Quotas:
        """As the project has them."""
        return Quotas(self.events_per_minute, self.events_per_hour, self.events_per_day, self.megabytes_per_day)


class ProjectInput(QuotasInput):
    """A new project; it has the usual quotas where it is given none."""

    name: str = Field(pattern=NAME_PATTERN)
    events_per_minute: Quota = USUAL_QUOTAS.events_per_minute
    events_per_hour: Quota = USUAL_QUOTAS.events_per_hour
    events_per_day: Quota = USUAL_QUOTAS.events_per_day
    megabytes_per_day: Quota = USUAL_QUOTAS.megabytes_per_day


class KeyInput(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field("", max_length=200, pattern="^[^\x00]*$")


class KeyChange(BaseModel):
    """Whether a key is refused."""

    model_config = ConfigDict(extra="forbid")

    disabled: bool


class ItemCountOutput(BaseModel):
    """What became of items of a category."""

    project: str
    category: str
    outcome: str
    reason: str
    items: int


@router.get("/api/admin/error-projects", summary="List the projects")
async def list_projects(runtime: Running, _: Reads) -> list[ProjectOutput]:
    async with runtime.pool.connection() as connection:
        return [ProjectOutput.model_validate(row) for row in await projects.list_projects(connection)]


@router.post("/api/admin/error-projects", summary="Create a project, with a key", status_code=201)
async def create_project(runtime: Running, identity: Writes, given: ProjectInput) -> KeyOutput:
    async with acting(runtime.pool, identity) as connection:
        _, key = await projects.create_project(connection, given.name, given.quotas())
    return KeyOutput.model_validate(key)


@router.put("/api/admin/error-projects/{name}/quotas", summary="Set how much a project may send")
async def set_quotas(runtime: Running, identity: Writes, name: Name, given: QuotasInput) -> ProjectOutput:
    async with acting(runtime.pool, identity) as connection:
        row = await projects.set_quotas(connection, name, given.quotas())
    return ProjectOutput.model_validate(row)


@router.get("/api/admin/error-projects/{name}/keys", summary="List a project's keys")
async def list_keys(runtime: Running, _: Reads, name: Name) -> list[KeyOutput]:
    async with runtime.pool.connection() as connection:
        return [KeyOutput.model_validate(row) for row in await projects.list_keys(connection, name)]


@router.post("/api/admin/error-projects/{name}/keys", summary="Create a key", status_code=201)
async def create_key(runtime: Running, identity: Writes, name: Name, given: KeyInput) -> KeyOutput:
    async with acting(runtime.pool, identity) as connection:
        return KeyOutput.model_validate(await projects.create_key(connection, name, given.label))


@router.patch("/api/admin/error-keys/{public_key}", summary="Disable a key, or enable it again")
async def change_key(runtime: Running, identity: Writes, public_key: Key, given: KeyChange) -> KeyOutput:
    async with acting(runtime.pool, identity) as connection:
        return KeyOutput.model_validate(await projects.set_key(connection, public_key, disabled=given.disabled))


@router.get("/api/admin/error-counts", summary="What became of what was sent")
async def item_counts(
    runtime: Running, _: Reads, hours: Annotated[int, Query(ge=1, le=24 * 90)] = 24
) -> Sequence[ItemCountOutput]:
    async with runtime.pool.connection() as connection:
        rows = await projects.item_counts(connection, timedelta(hours=hours))
    return [ItemCountOutput.model_validate(row) for row in rows]
