"""Who and what may come in: people, their browser sessions, machine tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from opsbook.access.sign_in_pages import sign_in_of
from opsbook.core.access import Identity, Role, RoleName, Scope, store
from opsbook.core.audit import acting
from opsbook.core.errors import Forbidden, OpsbookError
from opsbook.core.http.identity import csrf_checked, signed_in
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.web.contributions import Hit, Lever, finds, offer
from opsbook.web.templates import render

_SCOPES = [scope for scope in get_args(Scope) if "*" not in scope]
"""What the form offers; none chosen means everything the role may do."""

_LIFETIMES = {"30": timedelta(days=30), "90": timedelta(days=90), "365": timedelta(days=365), "": None}
_NOTICES = {
    "role": "The role is changed.",
    "disabled": "Barred from signing in; open sessions and pending links have ended.",
    "enabled": "May sign in again.",
    "session": "The session has ended.",
    "link": "The link has ended.",
    "token": "The token is revoked: its next call is refused.",
}

router = APIRouter()

Viewer = Annotated[Identity, Depends(signed_in(Role.VIEWER))]
Admin = Annotated[Identity, Depends(signed_in(Role.ADMIN))]
Checked = [Depends(csrf_checked)]

offer(
    Lever("See who did what", "Every change, with before and after", "/ops/audit", "audit", "Incidents", "Investigate"),
    Lever(
        "Cut off access", "End a session, revoke a token, bar a person", "/ops/access", "access", "Incidents", "Contain"
    ),
)


@finds
async def find_people_and_tokens(connection: Connection, text: str) -> Sequence[Hit]:
    """People by e-mail or name and live tokens by name, once there is something to look for."""
    if not text:
        return []
    people = await store.list_operators(connection)
    tokens = await store.list_tokens(connection)
    return [
        Hit(row["email"], "/ops/access#people", "Person", "person", row["role"])
        for row in people
        if text.lower() in f"{row['email']} {row['name']}".lower()
    ] + [
        Hit(row["name"], "/ops/access#tokens", "Token", "access", row["role"])
        for row in tokens
        if row["live"] and text.lower() in row["name"].lower()
    ]


@router.get("/access")
async def access(request: Request, viewer: Viewer, done: str = "", barred: int | None = None) -> HTMLResponse:
    """People, links, sessions, tokens; with `barred`, what that person leaves behind."""
    return await _page(request, viewer, barred, notice=_NOTICES.get(done))


@router.post("/access/invitations", dependencies=Checked)
async def invite(request: Request, admin: Admin, role: Annotated[RoleName, Form()]) -> HTMLResponse:
    """A one-time link that lets a new person in, shown once."""
    async with acting(runtime_of(request).pool, admin) as connection:
        secret = await store.create_link(
            connection, Role.parse(role), created_by=admin.name, lifetime=store.INVITATION_LIFETIME
        )
    return await _page(request, admin, link=_link_url(request, secret), link_for=f"a new {role}", link_lasts="3 days")


@router.post("/access/operators/{operator_id}/link", dependencies=Checked)
async def link_for_operator(request: Request, admin: Admin, operator_id: int) -> HTMLResponse:
    """A one-time link for somebody who cannot sign in, shown once."""
    async with acting(runtime_of(request).pool, admin) as connection:
        person = await store.operator_by_id(connection, operator_id)
        if person is None or person["disabled_at"] or operator_id == admin.operator_id:
            raise Forbidden("a link is for somebody else who may sign in; for yourself there is `opsbook link`")
        secret = await store.create_link(
            connection, Role.parse(person["role"]), created_by=admin.name, operator_id=operator_id
        )
    return await _page(
        request, admin, link=_link_url(request, secret), link_for=person["email"], link_lasts="15 minutes"
    )


@router.post("/access/operators/{operator_id}/role", dependencies=Checked)
async def change_role(
    request: Request, admin: Admin, operator_id: int, role: Annotated[RoleName, Form()]
) -> RedirectResponse:
    """Another role for somebody."""
    async with acting(runtime_of(request).pool, admin) as connection:
        await store.change_operator(connection, operator_id, role=Role.parse(role))
    return _done("role")


@router.post("/access/operators/{operator_id}/disabled", dependencies=Checked)
async def change_disabled(
    request: Request, admin: Admin, operator_id: int, disabled: Annotated[bool, Form()]
) -> RedirectResponse:
    """Bar somebody from signing in, or let them again."""
    async with acting(runtime_of(request).pool, admin) as connection:
        await store.change_operator(connection, operator_id, disabled=disabled)
    return _done(f"disabled&barred={operator_id}" if disabled else "enabled")


@router.post("/access/links/{link_id}/end", dependencies=Checked)
async def end_link(request: Request, admin: Admin, link_id: int) -> RedirectResponse:
    """End a one-time link before its time."""
    async with acting(runtime_of(request).pool, admin) as connection:
        await store.end_link(connection, link_id)
    return _done("link")


@router.post("/access/sessions/{session_id}/revoke", dependencies=Checked)
async def revoke_session(request: Request, viewer: Viewer, session_id: int) -> RedirectResponse:
    """End a browser session: one's own, or as an admin anybody's."""
    only_of = None if viewer.may(Role.ADMIN) else viewer.operator_id
    async with acting(runtime_of(request).pool, viewer) as connection:
        await store.revoke_session(connection, session_id, operator_id=only_of)
    return _done("session")


@router.post("/access/tokens", dependencies=Checked)
async def create_token(
    request: Request,
    admin: Admin,
    name: Annotated[str, Form(max_length=200)],
    role: Annotated[RoleName, Form()],
    scopes: Annotated[list[Scope] | None, Form()] = None,
    days: Annotated[Literal["30", "90", "365", ""], Form()] = "90",
) -> HTMLResponse:
    """A token for a machine; its text is on this one page and never again."""
    async with acting(runtime_of(request).pool, admin) as connection:
        token = await store.create_token(
            connection,
            name.replace("\0", ""),
            Role.parse(role),
            by=admin,
            scopes=scopes or ["*"],
            lifetime=_LIFETIMES[days],
        )
    return await _page(request, admin, token=token)


@router.post("/access/tokens/{token_id}/revoke", dependencies=Checked)
async def revoke_token(request: Request, admin: Admin, token_id: int) -> RedirectResponse:
    """End a token."""
    async with acting(runtime_of(request).pool, admin) as connection:
        await store.revoke_token(connection, token_id)
    return _done("token")


@router.get("/access/password")
async def password_page(request: Request, viewer: Viewer) -> HTMLResponse:
    """The form for a new password of one's own."""
    return await _password_page(request, viewer)


@router.post("/access/password", dependencies=Checked)
async def change_password(
    request: Request,
    viewer: Viewer,
    password: Annotated[str, Form(max_length=2000)],
    current: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """A new password; every session of the person ends, this one too."""
    try:
        await sign_in_of(runtime_of(request)).change_password(viewer, current, password)
    except OpsbookError as error:
        return await _password_page(request, viewer, error)
    return RedirectResponse("/ops/sign-in", 303)


async def _password_page(request: Request, viewer: Identity, error: OpsbookError | None = None) -> HTMLResponse:
    asked = await sign_in_of(runtime_of(request)).asks_for_password(viewer)
    status, told = (error.status, str(error)) if error else (200, None)
    return render(request, "access/password.html", viewer, status=status, error=told, asks_for_current=asked)


async def _page(request: Request, viewer: Identity, barred: int | None = None, **shown_once: Any) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        left = await store.operator_by_id(connection, barred) if barred else None
        values: dict[str, Any] = {
            "left_by": left and left["email"],
            "left_tokens": await store.live_tokens_made_by(connection, left["email"]) if left else [],
            "operators": await store.list_operators(connection),
            "links": await store.list_links(connection),
            "sessions": await store.list_sessions(connection),
            "tokens": await store.list_tokens(connection),
        }
    nothing: dict[str, Any] = {"notice": None, "link": None, "link_for": None, "link_lasts": None, "token": None}
    return render(
        request,
        "access/access.html",
        viewer,
        scopes=_SCOPES,
        is_admin=viewer.may(Role.ADMIN),
        **values,
        **nothing | shown_once,
    )


def _link_url(request: Request, secret: str) -> str:
    return f"{request.base_url}ops/sign-in?link={secret}"


def _done(what: str) -> RedirectResponse:
    return RedirectResponse(f"/ops/access?done={what}", 303)
