"""HTTP of releases: the calls of Sentry's API that `sentry-cli releases` and `sentry-cli deploys` make."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, Field

from opsbook import __version__
from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.errors import NotFound
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.runtime import Runtime
from opsbook.debugging.sourcemaps import store

router = APIRouter(prefix="/api/0", include_in_schema=False)

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "errors:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "errors:write"))]
Version = Annotated[str, Field(min_length=1, max_length=250)]
Projects = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=20)]


class Commit(BaseModel):
    """The commit that a release is made of, in one repository."""

    commit: Annotated[str, Field(min_length=1, max_length=200)]


class Said(BaseModel):
    """What sentry-cli says of a release; repositories and lists of commits are not kept."""

    projects: Projects = []
    dateReleased: AwareDatetime | None = None  # noqa: N815
    refs: Annotated[list[Commit] | None, Field(max_length=100)] = None
    commits: Annotated[list[dict[str, Any]] | None, Field(max_length=10_000)] = None


class Created(Said):
    """A new release."""

    version: Version


class Deploy(BaseModel):
    """That a release was brought to an environment."""

    environment: Annotated[str, Field(min_length=1, max_length=64)]
    name: str | None = None
    projects: Projects = []
    dateFinished: AwareDatetime | None = None  # noqa: N815


@router.get("/")
async def about(identity: Reads) -> dict[str, Any]:
    """Who asks, and what may they."""
    scopes = sorted(identity.scopes)
    return {"version": "0", "server": f"opsbook/{__version__}", "user": None, "auth": {"scopes": scopes}}


@router.get("/organizations/{organization}/repos/")
async def repositories(organization: str, _: Reads) -> list[Any]:
    """None: code is looked at where it is."""
    return []


@router.post("/organizations/{organization}/releases/", status_code=201)
async def create(runtime: Running, identity: Writes, given: Created) -> dict[str, Any]:
    await _note(runtime, identity, given.version, given)
    return await _one(runtime, given.version)


@router.get("/organizations/{organization}/releases/{version:path}/previous-with-commits/")
async def previous_with_commits(version: str, _: Reads) -> dict[str, Any]:
    """None: no lists of commits are kept."""
    return {}


@router.post("/organizations/{organization}/releases/{version:path}/deploys/", status_code=201)
async def deploy(runtime: Running, identity: Writes, version: str, given: Deploy) -> dict[str, Any]:
    """Note that a release is out."""
    finished = given.dateFinished or datetime.now(UTC)
    await _note(runtime, identity, version, Said(projects=given.projects, dateReleased=finished))
    return {"id": "1", "environment": given.environment, "name": given.name, "dateFinished": finished}


@router.put("/organizations/{organization}/releases/{version:path}/")
async def change(runtime: Running, identity: Writes, version: str, given: Said) -> dict[str, Any]:
    """Finalize a release, or say which commit it was made of."""
    await _note(runtime, identity, version, given)
    return await _one(runtime, version)


@router.get("/organizations/{organization}/releases/{version:path}/")
async def show(runtime: Running, _: Reads, version: str) -> dict[str, Any]:
    return await _one(runtime, version)


@router.get("/projects/{organization}/{project}/releases/")
async def listed(runtime: Running, _: Reads, project: str) -> list[dict[str, Any]]:
    async with runtime.pool.connection() as connection:
        rows = await store.releases(connection, await store.project_of(connection, project))
    return [_shown([row]) for row in rows]


async def _note(runtime: Runtime, identity: Identity, version: str, said: Said) -> None:
    """For the projects that are named, else for those that know the release."""
    commit = _commit(said)
    async with acting(runtime.pool, identity) as connection:
        names = said.projects or [row["project"] for row in await store.releases(connection, release=version)]
        if not names:
            raise _unknown(version)
        for name in names:
            project_id = await store.project_of(connection, name)
            await store.add_release(connection, project_id, version, said.dateReleased, commit)


def _commit(said: Said) -> str | None:
    if said.refs:
        return said.refs[0].commit
    newest = str(said.commits[0].get("id", "")) if said.commits else ""
    return newest[:200] or None


async def _one(runtime: Runtime, version: str) -> dict[str, Any]:
    async with runtime.pool.connection() as connection:
        rows = await store.releases(connection, release=version)
    if not rows:
        raise _unknown(version)
    return _shown(rows)


def _unknown(version: str) -> NotFound:
    return NotFound(
        f"there is no release {version!r}; `sentry-cli releases new` makes one, and so does its first event"
    )


def _shown(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A release as Sentry shows it."""
    first = rows[0]
    return {
        "version": first["release"],
        "shortVersion": first["release"],
        "dateCreated": first["first_seen"],
        "dateReleased": first["released_at"],
        "ref": first["commit_id"],
        "lastEvent": None,
        "newGroups": 0,
        "projects": [{"slug": row["project"], "name": row["project"]} for row in rows],
    }
