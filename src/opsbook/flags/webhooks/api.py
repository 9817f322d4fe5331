"""HTTP of the webhooks: list, add, test, remove, and what came of the newest deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.flags.fields import MOST_REVISION, Reason
from opsbook.flags.webhooks import store

router = APIRouter(tags=["Feature flags"], responses=problems(400, 401, 403, 404, 409, 413, 422, 503))

Reads = Annotated[Identity, Depends(requires(Role.VIEWER, "flags:read"))]
Decides = Annotated[Identity, Depends(requires(Role.ADMIN, "flags:write"))]
"""Who may have every change posted elsewhere."""
Number = Annotated[int, Path(ge=1, le=MOST_REVISION, description="The webhook's number.")]


class WebhookInput(BaseModel):
    """Where to post, and what of."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=2000, description="http:// or https://, on the public internet, without a password.")
    topics: Sequence[store.Topic] = Field(
        default=("flags",), min_length=1, max_length=2, json_schema_extra={"uniqueItems": True}
    )
    reason: Reason = None


class WebhookOutput(BaseModel):
    """A webhook as it is; its secret is shown when it is made, and never again."""

    id: int
    url: str
    topics: Sequence[str]
    created_at: datetime
    disabled_at: datetime | None
    waiting: int
    delivered: int
    given_up: int


class WebhookMade(BaseModel):
    """A new webhook's number, and the secret that signs its notices."""

    id: int
    secret: str


class AnswerOutput(BaseModel):
    """What came of a test."""

    delivered: bool
    status: int | None
    error: str | None
    milliseconds: int


class AttemptOutput(BaseModel):
    """One attempt to deliver a notice; without a moment, none was made yet."""

    name: str
    revision: int
    attempt: int | None
    at: datetime | None
    milliseconds: int | None
    status: int | None
    error: str | None
    delivered_at: datetime | None
    next_at: datetime | None


@router.get("/api/admin/flag-webhooks", summary="List the webhooks")
async def list_webhooks(runtime: Running, _: Reads) -> list[WebhookOutput]:
    async with runtime.pool.connection() as connection:
        return [WebhookOutput.model_validate(row) for row in await store.list_webhooks(connection)]


@router.post("/api/admin/flag-webhooks", summary="Have changes posted to an address", status_code=201)
async def add(runtime: Running, identity: Decides, given: WebhookInput) -> WebhookMade:
    async with acting(runtime.pool, identity, given.reason) as connection:
        number, secret = await store.add_webhook(connection, given.url, given.topics)
    return WebhookMade(id=number, secret=secret)


@router.post("/api/admin/flag-webhooks/{number}/test", summary="Post a notice of topic `test` now")
async def send_test(runtime: Running, identity: Decides, number: Number) -> AnswerOutput:
    loopback = runtime.settings.webhooks_to_loopback
    answer = await store.send_test(runtime.pool.connection, identity, number, loopback=loopback)
    return AnswerOutput(
        delivered=answer.is_delivered, status=answer.status, error=answer.error, milliseconds=answer.milliseconds
    )


@router.get("/api/admin/flag-webhooks/{number}/attempts", summary="What came of the newest deliveries")
async def attempts(
    runtime: Running, _: Reads, number: Number, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[AttemptOutput]:
    async with runtime.pool.connection() as connection:
        await store.get_webhook(connection, number)
        return [AttemptOutput.model_validate(row) for row in await store.attempts(connection, number, limit)]


@router.delete("/api/admin/flag-webhooks/{number}", summary="Tell it nothing more", status_code=204)
async def remove(
    runtime: Running, identity: Decides, number: Number, reason: Annotated[Reason, Query()] = None
) -> None:
    async with acting(runtime.pool, identity, reason) as connection:
        await store.remove_webhook(connection, number)
