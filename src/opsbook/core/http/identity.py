"""Who calls: a bearer token, a browser session, or nobody; and what a route demands of them.

Routes of the API take bearer tokens only, pages take the session cookie only; so no cookie
can be ridden into the API, and forms carry a token against forgery besides.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

import psycopg
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from opsbook.core.access import store
from opsbook.core.access.identity import ANONYMOUS, Identity, Kind, Role
from opsbook.core.access.known_tokens import KnownTokens, look_up_token
from opsbook.core.deadline import within
from opsbook.core.errors import Forbidden, Unauthorized, Unavailable
from opsbook.core.http.client_address import TrustedProxies, plain_address
from opsbook.core.runtime import Runtime, runtime_of

SESSION_COOKIE = "__Host-opsbook"
DEVICE_COOKIE = "__Host-opsbook-device"
CSRF_FIELD = "csrf_token"
_LONGEST_CREDENTIAL = 512
_PATIENCE_SECONDS = 2.0

_bearer = HTTPBearer(auto_error=False, description="ADMIN_TOKEN, or an API token (`opsbook token create`).")


def visitor(request: Request) -> Identity:
    """Where a request comes from, before anything is known of who sent it."""
    return Identity(
        ANONYMOUS.name,
        ANONYMOUS.kind,
        None,
        frozenset(),
        ip=plain_address(runtime_of(request).get(TrustedProxies).client_address(request.scope)),
        user_agent=request.headers.get("user-agent", "")[:300] or None,
        request_id=getattr(request.state, "request_id", None),
    )


async def bearer_identity(request: Request) -> Identity | None:
    """Who a bearer token stands for, or None where there is none.

    Raises:
        Unauthorized: The token is malformed, forged, expired or revoked.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if not scheme:
        return None
    if scheme.lower() != "bearer" or not 0 < len(secret) <= _LONGEST_CREDENTIAL:
        raise Unauthorized("this takes `Authorization: Bearer TOKEN`")
    runtime = runtime_of(request)
    if _is_admin_token(runtime, secret):
        return _admin(request)
    token = await within(_PATIENCE_SECONDS, look_up_token(runtime.pool, secret))
    origin = visitor(request)
    return replace(token.identity, ip=origin.ip, user_agent=origin.user_agent, request_id=origin.request_id)


async def evaluator(request: Request, secret: str) -> Identity:
    """Who may ask what flags are for a context, by a token's text wherever the protocol has it stand.

    For routes that are asked thousands of times a second: a token that was good a moment ago is, see `KnownTokens`.

    Raises:
        Unauthorized: There is no token, or it is malformed, forged, expired or revoked.
        Forbidden: Neither `flags:evaluate` nor `flags:read` is among its scopes.
    """
    if not 0 < len(secret) <= _LONGEST_CREDENTIAL:
        raise Unauthorized("this needs a token of scope flags:evaluate; `opsbook token create` makes one")
    runtime = runtime_of(request)
    if _is_admin_token(runtime, secret):
        return _admin(request)
    known = runtime.get(KnownTokens)
    token = known.remembered(secret) or await within(_PATIENCE_SECONDS, known.find(secret))
    if not any(token.identity.may(Role.VIEWER, scope) for scope in ("flags:evaluate", "flags:read")):
        raise Forbidden("this needs the scope flags:evaluate or flags:read")
    return token.identity


async def session_identity(request: Request) -> Identity | None:
    """The person behind the session cookie, or None."""
    secret = request.cookies.get(SESSION_COOKIE, "")
    if not 0 < len(secret) <= _LONGEST_CREDENTIAL:
        return None
    return await within(_PATIENCE_SECONDS, _session_identity(request, secret))


async def _session_identity(request: Request, secret: str) -> Identity | None:
    async with runtime_of(request).pool.connection() as connection:
        row = await store.session_by_secret(connection, secret)
        if row is None:
            return None
        await store.touch_session(connection, row["session_id"])
    person = _grown(visitor(request), row["email"], "operator", Role.parse(row["role"]), frozenset({"*"}))
    return replace(person, operator_id=row["operator_id"], session_id=row["session_id"])


async def identify(request: Request) -> Identity | None:
    """Whoever calls, by token or by cookie, or None; for routes that tell the known more than others."""
    try:
        return await bearer_identity(request) or await session_identity(request)
    except Unauthorized:
        return None


async def still_known(look_up: Callable[[], Awaitable[object]]) -> bool:
    """Whether the reader of a long answer may read on; a database that does not answer ends nobody's."""
    try:
        return await look_up() is not None
    except Unauthorized:
        return False
    except (Unavailable, psycopg.Error, PoolTimeout):
        return True


def requires(role: Role, scope: str | None = None) -> Callable[..., Awaitable[Identity]]:
    """A dependency of API routes: a bearer token of at least that role and with that scope.

    Raises (from the dependency):
        Unauthorized: No token, or a bad one.
        Forbidden: Too low a role, or the scope is not among the token's.
    """

    async def checked(request: Request, _: Annotated[object, Depends(_bearer)]) -> Identity:
        identity = await bearer_identity(request)
        if identity is None:
            raise Unauthorized("this needs `Authorization: Bearer TOKEN`; `opsbook token create` makes one")
        if not identity.may(role, scope):
            raise Forbidden(f"this needs the role {role.label} and the scope {scope or '*'}")
        return identity

    return checked


def signed_in(role: Role) -> Callable[[Request], Awaitable[Identity]]:
    """A dependency of pages: somebody of at least that role, else off to the sign-in page.

    Raises (from the dependency):
        HTTPException: 303 to the sign-in page.
        Forbidden: Too low a role.
    """

    async def checked(request: Request) -> Identity:
        identity = await session_identity(request)
        if identity is None:
            query = f"?{request.url.query}" if request.url.query else ""
            back = f"{request.url.path}{query}" if request.method == "GET" else "/ops"
            raise HTTPException(
                303, headers={"Location": f"/ops/sign-in?next={quote(back)}", "Cache-Control": "no-store"}
            )
        if not identity.may(role):
            raise Forbidden(f"this needs the role {role.label}; ask an admin")
        return identity

    return checked


def csrf_token(request: Request) -> str:
    """What a page's forms carry; bound to the browser's session, worthless in another."""
    secret = request.cookies.get(SESSION_COOKIE, "")
    return hmac.new(runtime_of(request).signing_key, b"csrf:" + secret.encode(), hashlib.sha256).hexdigest()


async def csrf_checked(request: Request) -> None:
    """A dependency of pages' POST routes: it comes from one of our own pages.

    Raises:
        Forbidden: Another site's page sent it, or the form has no valid token.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("this form was sent from another site")
    given = request.headers.get("x-csrf-token") or str((await request.form()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(given.encode(), csrf_token(request).encode()):
        raise Forbidden("this form is out of date; load the page again and retry")


def _is_admin_token(runtime: Runtime, secret: str) -> bool:
    expected = runtime.settings.admin_token
    return expected is not None and hmac.compare_digest(secret.encode(), expected.get_secret_value().encode())


def _admin(request: Request) -> Identity:
    return _grown(visitor(request), "ADMIN_TOKEN", "admin_token", Role.ADMIN, frozenset({"*"}))


def _grown(caller: Identity, name: str, kind: Kind, role: Role, scopes: frozenset[str]) -> Identity:
    return replace(caller, name=name, kind=kind, role=role, scopes=scopes)
