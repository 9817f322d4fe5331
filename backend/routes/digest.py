"""The weekly digest: a feature behind a flag, so that switching it off is something to see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import desc, func, select

from backend.cache import cached
from backend.database import as_user
from backend.dependencies import SignedIn, feature
from backend.identity import User
from backend.problems import documented
from backend.tables import events

router = APIRouter(prefix="/api/digest", tags=["digest"], responses=documented(401, 404))

PERIOD = timedelta(days=7)
_SHOWN_TYPES = 20


class CountedType(BaseModel):
    """How often something happened, and when last."""

    type: str
    count: int
    latest: AwareDatetime


class Digest(BaseModel):
    """What happened most in the seven days before `until`."""

    since: AwareDatetime
    until: AwareDatetime
    types: list[CountedType]


@router.get("", dependencies=[Depends(feature("weekly-digest"))])
def weekly_digest(user: SignedIn) -> Digest:
    """The signed-in person's last seven days, at most a minute old. Needs the flag `weekly-digest`."""
    return _digest_of(user)


@cached(ttl=60)
def _digest_of(user: User) -> Digest:
    until = datetime.now(UTC)
    count = func.count().label("count")
    query = (
        select(events.c.type, count, func.max(events.c.timestamp).label("latest"))
        .where(events.c.user_id == user.id, events.c.timestamp.between(until - PERIOD, until))
        .group_by(events.c.type)
        .order_by(desc(count), events.c.type)
        .limit(_SHOWN_TYPES)
    )
    with as_user(user) as connection:
        rows = connection.execute(query).mappings().all()
    types = [CountedType.model_validate(dict(row)) for row in rows]
    return Digest(since=until - PERIOD, until=until, types=types)
