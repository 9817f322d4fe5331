"""Signing in and out: with a password, with a one-time link, or as somebody new by such a link."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from opsbook.core.access import Identity, Role, store
from opsbook.core.access.sign_in import SignedIn, SignIn
from opsbook.core.audit import acting
from opsbook.core.errors import OpsbookError, TooManyRequests
from opsbook.core.http.identity import (
    DEVICE_COOKIE,
    SESSION_COOKIE,
    csrf_checked,
    session_identity,
    signed_in,
    visitor,
)
from opsbook.core.runtime import Runtime, runtime_of
from opsbook.web.pages import safe_path
from opsbook.web.templates import render

_DEVICE_LIFETIME_SECONDS = 400 * 86_400
"""The longest that browsers keep a cookie (RFC 6265bis)."""

router = APIRouter()

Text = Annotated[str, Form(max_length=2000)]


@router.get("/sign-in")
async def sign_in_page(request: Request, link: str = "", next: str = "/ops") -> Response:  # noqa: A002
    """The form; with a link, a page that says what the link does, for fetching it must not use it up."""
    if link:
        return await _link_page(request, link)
    if await session_identity(request):
        return RedirectResponse(safe_path(next), 303)
    return render(request, "access/sign_in.html", next=safe_path(next), email="", error=None)


@router.post("/sign-in", dependencies=[Depends(csrf_checked)])
async def sign_in(request: Request, email: Text, password: Text, next: Text = "/ops") -> Response:  # noqa: A002
    """Sign in with e-mail and password."""
    device = request.cookies.get(DEVICE_COOKIE)
    try:
        signed = await sign_in_of(runtime_of(request)).with_password(visitor(request), email, password, device)
    except OpsbookError as error:
        page: dict[str, Any] = {"next": safe_path(next), "email": email, "error": str(error)}
        refused = render(request, "access/sign_in.html", status=error.status, **page)
        if isinstance(error, TooManyRequests):
            refused.headers["Retry-After"] = str(error.retry_after_seconds)
        return refused
    return _welcomed(signed, safe_path(next))


@router.post("/sign-in/link", dependencies=[Depends(csrf_checked)])
async def sign_in_by_link(request: Request, link: Text) -> Response:
    """Sign in the person whom the link names."""
    return _welcomed(await sign_in_of(runtime_of(request)).with_link(visitor(request), link), "/ops")


@router.post("/welcome", dependencies=[Depends(csrf_checked)])
async def welcome(request: Request, link: Text, email: Text, password: Text, name: Text = "") -> Response:
    """Become an operator by an inviting link, with an e-mail address and a password of one's own."""
    try:
        signed = await sign_in_of(runtime_of(request)).accept_invitation(visitor(request), link, email, name, password)
    except OpsbookError as error:
        async with runtime_of(request).pool.connection() as connection:
            found = await store.peek_link(connection, link)
        page: dict[str, Any] = {"link": link, "found": found, "email": email, "name": name, "error": str(error)}
        return render(request, "access/welcome.html", status=error.status, **page)
    return _welcomed(signed, "/ops")


@router.post("/sign-out", dependencies=[Depends(csrf_checked)])
async def sign_out(request: Request, person: Annotated[Identity, Depends(signed_in(Role.VIEWER))]) -> Response:
    """End this browser's session."""
    assert person.session_id is not None
    async with acting(runtime_of(request).pool, person) as connection:
        await store.revoke_session(connection, person.session_id)
    response = RedirectResponse(f"/ops/sign-in?{urlencode({'next': '/ops'})}", 303)
    response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


def sign_in_of(runtime: Runtime) -> SignIn:
    """The process's one `SignIn`, whose bound on concurrent password hashes holds for all requests."""
    try:
        return runtime.get(SignIn)
    except KeyError:
        runtime.put(SignIn(runtime))
        return runtime.get(SignIn)


async def _link_page(request: Request, link: str) -> Response:
    async with runtime_of(request).pool.connection() as connection:
        found = await store.peek_link(connection, link[:200])
    page: dict[str, Any] = {"link": link, "found": found, "email": "", "name": "", "error": None}
    return render(request, "access/welcome.html", status=200 if found else 404, **page)


def _welcomed(signed: SignedIn, where: str) -> Response:
    response = RedirectResponse(where, 303)
    lifetime = int(store.SESSION_LIFETIME.total_seconds())
    for name, value, seconds in (
        (SESSION_COOKIE, signed.session, lifetime),
        (DEVICE_COOKIE, signed.device, _DEVICE_LIFETIME_SECONDS),
    ):
        response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")
    return response
