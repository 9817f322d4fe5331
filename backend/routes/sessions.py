"""Where a person is signed in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import desc, select

from backend.database import as_user
from backend.dependencies import SignedIn
from backend.problems import documented
from backend.tables import sessions

router = APIRouter(prefix="/api/sessions", tags=["sessions"], responses=documented(401))

_SHOWN = 100


class Session(BaseModel):
    """A sign-in; `last_seen_at` is right to the minute."""

    id: UUID
    created_at: AwareDatetime
    last_seen_at: AwareDatetime
    ip: IPv4Address | IPv6Address | None
    user_agent: str | None
    revoked_at: AwareDatetime | None
    current: bool


class Sessions(BaseModel):
    """The latest hundred sign-ins, newest first."""

    sessions: list[Session]


@router.get("")
def list_sessions(user: SignedIn) -> Sessions:
    """The signed-in person's sessions, ended ones too."""
    query = (
        select(
            sessions.c.id,
            sessions.c.created_at,
            sessions.c.last_seen_at,
            sessions.c.ip,
            sessions.c.user_agent,
            sessions.c.revoked_at,
            (sessions.c.id == user.session_id).label("current"),
        )
        .where(sessions.c.user_id == user.id)
        .order_by(desc(sessions.c.created_at))
        .limit(_SHOWN)
    )
    with as_user(user) as connection:
        rows = connection.execute(query).mappings().all()
    return Sessions(sessions=[Session.model_validate(dict(row)) for row in rows])
