"""Webhooks in the console: who is told of changes, a test, and what came of the last deliveries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from opsbook.core.access import Identity, Role
from opsbook.core.errors import OpsbookError
from opsbook.core.http.identity import signed_in
from opsbook.core.runtime import runtime_of
from opsbook.flags.fields import MOST_REVISION
from opsbook.flags.page_parts import LIST, pulling, texts
from opsbook.flags.webhooks import store
from opsbook.flags.webhooks.posting import Answer
from opsbook.web.forms import Checked, Viewer, texts_of
from opsbook.web.templates import render

_WEBHOOKS = f"{LIST}/-/webhooks"

router = APIRouter()

Admin = Annotated[Identity, Depends(signed_in(Role.ADMIN))]
Number = Annotated[int, Path(ge=1, le=MOST_REVISION)]


@dataclass(frozen=True, slots=True)
class _Typed:
    """A new webhook as it stands in the form, and what is wrong with it."""

    url: str = ""
    topics: list[str] = field(default_factory=lambda: ["flags"])
    error: str | None = None


@router.get("/flags/-/webhooks")
async def list_page(request: Request, viewer: Viewer, gone: int | None = None) -> HTMLResponse:
    """Every webhook with how its deliveries stand."""
    return await _list(request, viewer, gone=gone)


@router.post("/flags/-/webhooks", dependencies=Checked)
async def add(request: Request, admin: Admin) -> HTMLResponse:
    """Have changes posted to an address; the secret is shown this once."""
    form = await request.form()
    typed = _Typed(str(form.get("url", "")).strip(), texts(form, "topic"))
    try:
        async with pulling(request, admin, str(form.get("reason", ""))) as connection:
            number, secret = await store.add_webhook(connection, typed.url, typed.topics)
    except OpsbookError as error:
        return await _list(request, admin, status=error.status, typed=_Typed(typed.url, typed.topics, error=str(error)))
    return await _list(request, admin, made={"id": number, "url": typed.url, "secret": secret})


@router.get("/flags/-/webhooks/{number}")
async def webhook_page(request: Request, viewer: Viewer, number: Number) -> HTMLResponse:
    """One webhook, and what came of its last deliveries."""
    return await _one(request, viewer, number)


@router.post("/flags/-/webhooks/{number}/test", dependencies=Checked)
async def send_test(request: Request, admin: Admin, number: Number) -> HTMLResponse:
    """Post a notice of topic `test` now, and show what came of it."""
    runtime = runtime_of(request)
    loopback = runtime.settings.webhooks_to_loopback
    answer = await store.send_test(runtime.pool.connection, admin, number, loopback=loopback)
    return await _one(request, admin, number, answer=answer)


@router.get("/flags/-/webhooks/{number}/remove")
async def remove_page(request: Request, admin: Admin, number: Number) -> HTMLResponse:
    """What a removal will touch."""
    async with runtime_of(request).pool.connection() as connection:
        webhook = await store.get_webhook(connection, number)
    return render(request, "flags/webhook_remove.html", admin, webhook=webhook)


@router.post("/flags/-/webhooks/{number}/remove", dependencies=Checked)
async def remove(request: Request, admin: Admin, number: Number) -> Response:
    """Tell it nothing more, and forget its deliveries."""
    async with pulling(request, admin, (await texts_of(request)).get("reason")) as connection:
        await store.remove_webhook(connection, number)
    return RedirectResponse(f"{_WEBHOOKS}?gone={number}", 303)


async def _list(
    request: Request,
    viewer: Identity,
    *,
    status: int = 200,
    typed: _Typed | None = None,
    made: dict[str, Any] | None = None,
    gone: int | None = None,
) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        webhooks = await store.list_webhooks(connection)
    return render(
        request,
        "flags/webhooks.html",
        viewer,
        status=status,
        webhooks=webhooks,
        typed=typed or _Typed(),
        topics=store.TOPICS,
        made=made,
        gone=gone,
        is_admin=viewer.may(Role.ADMIN),
    )


async def _one(request: Request, viewer: Identity, number: int, *, answer: Answer | None = None) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        webhook = await store.get_webhook(connection, number)
        attempts = await store.attempts(connection, number)
    return render(
        request,
        "flags/webhook.html",
        viewer,
        webhook=webhook,
        attempts=attempts,
        answer=answer,
        is_admin=viewer.may(Role.ADMIN),
    )
