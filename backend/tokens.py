"""Access tokens: a signed JWT with the claims that Supabase's policies read."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from backend.config import required, settings
from backend.identity import User

_ALGORITHM = "HS256"
_key = OctKey.import_key(required(settings.secret_key, "SECRET_KEY"))
_expected = jwt.JWTClaimsRegistry(
    exp={"essential": True}, sub={"essential": True}, aud={"essential": True, "value": "authenticated"}
)


def issue(user: User, expires_at: datetime) -> str:
    """A token for that person and session, good until then unless the session ends first."""
    claims = {**user.claims(), "exp": int(expires_at.timestamp())}
    return jwt.encode({"alg": _ALGORITHM}, claims, _key)


def read(token: str) -> User | None:
    """Whom a token was issued to; None where it is forged, malformed or expired."""
    try:
        claims = jwt.decode(token, _key, algorithms=[_ALGORITHM]).claims
        _expected.validate(claims)
        return User(UUID(claims["sub"]), claims["email"], UUID(claims["session_id"]))
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        return None
