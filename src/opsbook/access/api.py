"""HTTP of access and audit: tokens made and revoked, the trail read and verified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core import audit
from opsbook.core.access import Identity, Role, RoleName, Scope, store
from opsbook.core.audit import AuditFilter, acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.fields import Moment
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems

router = APIRouter(tags=["Access and audit"], responses=problems(400, 401, 403, 404, 413, 422, 503))

_LONGEST_LIFETIME_DAYS = 3650
_SHORTEST_LIFETIME_DAYS = 0.001
_LARGEST_ID = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259, 6)."""

Admin = Annotated[Identity, Depends(requires(Role.ADMIN, "access:write"))]
Auditor = Annotated[Identity, Depends(requires(Role.VIEWER, "audit:read"))]
Verifier = Annotated[Identity, Depends(requires(Role.OPERATOR, "audit:read"))]
Text = Annotated[str | None, Query(max_length=200, pattern="^[^\x00]*$")]
Id = Annotated[int | None, Query(ge=1, le=_LARGEST_ID)]


class TokenInput(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, pattern="^[^\x00]*[^\x00 ][^\x00]*$")
    role: RoleName = "viewer"
    scopes: list[Scope] = Field(default=["*"], min_length=1, max_length=50)
    lifetime_days: float | None = Field(
        None, ge=_SHORTEST_LIFETIME_DAYS, le=_LONGEST_LIFETIME_DAYS, allow_inf_nan=False
    )


class TokenOutput(BaseModel):
    """A token, without its text."""

    id: int
    name: str
    hint: str
    role: str
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class NewTokenOutput(TokenOutput):
    """A token at the one moment in which its text is shown."""

    token: str


class AuditOutput(BaseModel):
    """One record of the trail."""

    id: int
    created_at: datetime
    actor: str
    actor_kind: str
    action: str
    target_kind: str | None
    target: str | None
    before: Any
    after: Any
    ip: str | None
    user_agent: str | None
    request_id: str | None
    success: bool
    reason: str | None
    database_user: str


class VerificationOutput(BaseModel):
    """Whether the trail is whole."""

    intact: bool
    sealed: int
    unsealed: int
    head: Annotated[str | None, Field(description="The newest seal, to be kept elsewhere: POSITION:HASH.")]
    broken: Sequence[dict[str, Any]]


@router.get("/api/admin/tokens", summary="List the API tokens")
async def list_tokens(runtime: Running, _: Admin) -> list[TokenOutput]:
    async with runtime.pool.connection() as connection:
        return [TokenOutput.model_validate(row) for row in await store.list_tokens(connection)]


@router.post("/api/admin/tokens", summary="Make an API token; its text is shown once", status_code=201)
async def create_token(runtime: Running, identity: Admin, given: TokenInput) -> NewTokenOutput:
    lifetime = timedelta(days=given.lifetime_days) if given.lifetime_days else None
    async with acting(runtime.pool, identity) as connection:
        made = await store.create_token(
            connection,
            given.name,
            Role.parse(given.role),
            by=identity,
            scopes=given.scopes,
            lifetime=lifetime,
        )
    return NewTokenOutput.model_validate({**made.row, "token": made.secret})


@router.delete("/api/admin/tokens/{token_id}", summary="Revoke an API token", status_code=204)
async def revoke_token(runtime: Running, identity: Admin, token_id: Annotated[int, Path(ge=1, le=_LARGEST_ID)]) -> None:
    async with acting(runtime.pool, identity) as connection:
        await store.revoke_token(connection, token_id)


@router.get("/api/admin/audit", summary="Read the audit trail, newest first")
async def read_audit(
    runtime: Running,
    _: Auditor,
    actor: Text = None,
    action: Text = None,
    target_kind: Text = None,
    target: Text = None,
    text: Text = None,
    since: Moment | None = None,
    until: Moment | None = None,
    success: bool | None = None,
    before_id: Id = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AuditOutput]:
    wanted = AuditFilter(actor, action, target_kind, target, since, until, text, success, before_id, limit)
    async with runtime.pool.connection() as connection:
        return [AuditOutput.model_validate(row) for row in await audit.search(connection, wanted)]


@router.get("/api/admin/audit/verification", summary="Recompute the seals of the audit trail")
async def verify_audit(runtime: Running, _: Verifier) -> VerificationOutput:
    found = await audit.verify(runtime.pool.connection)
    return VerificationOutput(
        intact=found.intact,
        sealed=found.sealed,
        unsealed=found.unsealed,
        head=str(found.head) if found.head else None,
        broken=list(found.broken),
    )
