"""What routes ask for: the signed-in person, the device, a feature that is on."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

import opsbook
from backend import tokens
from backend.accounts import Device, is_signed_in
from backend.identity import User
from backend.problems import Problem

_bearer = HTTPBearer(auto_error=False, description="The access_token of sign-up or sign-in.")


def signed_in(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> User:
    """The person whose token came with the request, while their session and their account last."""
    user = tokens.read(credentials.credentials) if credentials else None
    if user is None or not is_signed_in(user):
        raise Problem(
            401, "Sign in, and send the access token as `Authorization: Bearer …`.", {"www-authenticate": "Bearer"}
        )
    opsbook.set_user(user.id)  # stands in each log line of this request
    return user


def device_of(request: Request) -> Device:
    """Where the request comes from; what a client or proxy made up is left out."""
    return Device(
        ip=_address(request), user_agent=request.headers.get("user-agent", "").replace("\0", "")[:500] or None
    )


def feature(name: str) -> Callable[[Request, User], None]:
    """A dependency that answers 404 while the feature flag of that name is off for this person."""

    def require(request: Request, user: SignedIn) -> None:
        if not request.app.state.book.flags.enabled(name, user_id=str(user.id)):
            raise Problem(404, f"The feature {name!r} is switched off.")

    return require


SignedIn = Annotated[User, Depends(signed_in)]
FromDevice = Annotated[Device, Depends(device_of)]


def _address(request: Request) -> str | None:
    try:
        return str(ipaddress.ip_address(request.client.host.partition("%")[0])) if request.client else None
    except ValueError:
        return None
