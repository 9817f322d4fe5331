"""HTTP of the address blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.errors import Invalid
from opsbook.core.http.client_address import TrustedProxies, plain_address
from opsbook.core.http.dependencies import Running
from opsbook.core.http.fields import Moment
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.performance.blocks import store
from opsbook.performance.blocks.guard import read_networks

router = APIRouter(tags=["Address blocks"], responses=problems(400, 401, 403, 404, 409, 413, 422, 503))

_MOST_NETWORKS = 5000
_LONGEST_SECONDS = 10 * 366 * 86_400
_NO_NUL = "^[^\x00]*$"

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "performance:read"))]
Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "performance:write"))]
NetworkText = Annotated[str, Field(max_length=60, description="203.0.113.0/24, 203.0.113.7, 2001:db8::/48.")]
Reason = Annotated[str | None, Field(max_length=2000, pattern=_NO_NUL, description="Why; it stands in the audit.")]


class BlocksInput(BaseModel):
    """Networks to block. Longer lists go by `opsbook block add --file`, or by SQL."""

    model_config = ConfigDict(extra="forbid")

    networks: list[NetworkText] = Field(min_length=1, max_length=_MOST_NETWORKS)
    reason: Reason = None
    for_seconds: int | None = Field(None, ge=1, le=_LONGEST_SECONDS, description="After which the block ends.")
    expires_at: Moment | None = Field(None, description="When the block ends; left out with for_seconds, never.")
    even_mine: StrictBool = Field(False, description="Also if that locks out an operator, this machine or a proxy.")

    def end(self) -> datetime | None:
        """When the block ends.

        Raises:
            Invalid: Two ends are given, or one that is over.
        """
        now = datetime.now(UTC)
        if self.for_seconds is not None and self.expires_at is not None:
            raise Invalid("a block has one end: give for_seconds or expires_at")
        if self.expires_at is not None and self.expires_at <= now:
            raise Invalid("expires_at is over already")
        return self.expires_at if self.for_seconds is None else now + timedelta(seconds=self.for_seconds)


class AddedOutput(BaseModel):
    """How many networks are newly blocked, have another reason or end now, or were blocked just so."""

    added: int
    changed: int
    unchanged: int


class RemovedOutput(BaseModel):
    """How many blocks were lifted."""

    removed: int


class BlockOutput(BaseModel):
    """A block as it is."""

    network: str
    reason: str
    expires_at: datetime | None
    created_at: datetime
    created_by: str
    hits: int
    last_hit_at: datetime | None
    is_over: bool = Field(description="Whether it has ended, and is about to leave the list.")


@router.get("/api/admin/address-blocks", summary="List the blocked networks, by network")
async def list_blocks(
    runtime: Running,
    _: Reads,
    after: Annotated[str | None, Query(max_length=60, description="The last network of the page before.")] = None,
    address: Annotated[str | None, Query(max_length=60, description="Only blocks around this address.")] = None,
    text: Annotated[str | None, Query(max_length=200, pattern=_NO_NUL, description="In network or reason.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Sequence[BlockOutput]:
    page_after = str(read_networks([after])[0]) if after is not None else None
    around = plain_address(address) if address is not None else None
    if address is not None and around is None:
        raise Invalid(f"{address!r} is no IP address")
    async with runtime.pool.connection() as connection:
        rows = await store.list_blocks(connection, after=page_after, address=around, text=text, limit=limit)
    return [BlockOutput.model_validate(row) for row in rows]


@router.post("/api/admin/address-blocks", summary="Block networks; every worker obeys within a quarter of a second")
async def add_blocks(runtime: Running, identity: Writes, given: BlocksInput) -> AddedOutput:
    networks, end = read_networks(given.networks), given.end()
    async with acting(runtime.pool, identity, given.reason) as connection:
        if not given.even_mine:
            own = [identity.ip] if identity.ip else []
            hint = "say even_mine"
            await store.check_harmless(connection, networks, own, runtime.get(TrustedProxies), hint=hint)
        added = await store.add(connection, networks, reason=given.reason or "", expires_at=end)
    return AddedOutput.model_validate(asdict(added))


@router.delete("/api/admin/address-blocks", summary="Lift blocks")
async def remove_blocks(
    runtime: Running,
    identity: Writes,
    network: Annotated[list[NetworkText], Query(min_length=1, max_length=100)],
    reason: Annotated[Reason, Query()] = None,
) -> RemovedOutput:
    networks = read_networks(network)
    async with acting(runtime.pool, identity, reason) as connection:
        return RemovedOutput(removed=await store.remove(connection, networks))
