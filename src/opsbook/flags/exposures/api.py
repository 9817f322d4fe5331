"""HTTP of the exposure counts: kits report what they counted, people ask who sees what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core.access import Identity, Role
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.flags.exposures import store
from opsbook.flags.model import NAME_PATTERN

router = APIRouter(tags=["Feature flags"], responses=problems(400, 401, 403, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "flags:read"))]
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="The flag's name.")]


class CountInput(BaseModel):
    """How often a flag was something for those who asked."""

    model_config = ConfigDict(extra="forbid")

    flag: str = Field(pattern=r"^[^\x00]{1,200}$", description="One that does not exist is passed over.")
    variant: str = Field(pattern=r"^[^\x00]{1,200}$")
    count: int = Field(ge=1, le=10**12, description="One report adds 10⁹ to a count at most.")


class ExposuresInput(BaseModel):
    """One process's counts since its last report."""

    model_config = ConfigDict(extra="forbid")

    counts: Sequence[CountInput] = Field(max_length=10_000)


class ExposureOutput(BaseModel):
    """How often a flag was one of the things that it can be, and its share of all evaluations."""

    variant: str
    count: int
    share: float
    last_at: datetime


@router.post("/api/flags/exposures", summary="Report what a process counted", status_code=204)
async def report(runtime: Running, _: Reads, given: ExposuresInput) -> None:
    counts: dict[tuple[str, str], int] = {}
    for each in given.counts:
        seen = (each.flag, each.variant)
        counts[seen] = counts.get(seen, 0) + each.count
    async with runtime.pool.connection() as connection:
        await store.add(connection, counts)


@router.get("/api/admin/feature-flags/{name}/exposures", summary="Who saw what lately")
async def exposures(
    runtime: Running, _: Reads, name: Name, hours: Annotated[int, Query(ge=1, le=24 * 31)] = 24
) -> list[ExposureOutput]:
    async with runtime.pool.connection() as connection:
        found = await store.exposures(connection, name, timedelta(hours=hours))
    return [ExposureOutput.model_validate(each, from_attributes=True) for each in found]
