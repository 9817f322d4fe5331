"""What people do: taken in batches, read back newest first."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import desc, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from backend.database import as_user
from backend.dependencies import SignedIn
from backend.identity import User
from backend.problems import documented
from backend.properties import Properties
from backend.tables import events

router = APIRouter(prefix="/api/events", tags=["events"], responses=documented(401))

MAXIMUM_BATCH = 500
MAXIMUM_AGE = timedelta(days=31)
"""How late an event may come, from a device that was offline; last month's partition is always there."""
MAXIMUM_LEAD = timedelta(days=1)
"""How far a device's clock may be ahead."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"(?P<microseconds>[0-9]{1,17})-(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def recent(timestamp: datetime) -> datetime:
    """The time as it is.

    Raises:
        ValueError: It is too old or too far ahead.
    """
    now = datetime.now(UTC)
    if not now - MAXIMUM_AGE <= timestamp <= now + MAXIMUM_LEAD:
        raise ValueError(f"must lie between {MAXIMUM_AGE.days} days ago and {MAXIMUM_LEAD.days} day ahead")
    return timestamp


class NewEvent(BaseModel):
    """One event of a batch. With an `id` of the sender's, sending it again changes nothing."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, StringConstraints(pattern=r"^[\w .:/-]{1,100}$")]
    properties: Properties = Field(default_factory=dict)
    id: UUID | None = None
    timestamp: Annotated[AwareDatetime, AfterValidator(recent)] | None = None

    @model_validator(mode="after")
    def _repeatable(self) -> Self:
        """An event is known again by id and time together, because its partition is found by time."""
        if self.id is not None and self.timestamp is None:
            raise ValueError("an event with an id needs its timestamp too")
        return self


class Batch(BaseModel):
    """The body of `POST /api/events`."""

    model_config = ConfigDict(extra="forbid")

    events: Annotated[list[NewEvent], Field(min_length=1, max_length=MAXIMUM_BATCH)]


class Taken(BaseModel):
    """What became of a batch."""

    accepted: int
    duplicates: int


class Event(BaseModel):
    """An event as it is kept."""

    id: UUID
    type: str
    timestamp: AwareDatetime
    properties: dict[str, Any]
    session_id: UUID | None


class Page(BaseModel):
    """Events, newest first, and what to pass as `before` for the next ones."""

    events: list[Event]
    next: str | None


@router.post("", status_code=202)
def record_events(batch: Batch, user: SignedIn) -> Taken:
    """Record what the signed-in person did."""
    now = datetime.now(UTC)
    rows = [_row(event, user, now) for event in batch.events]
    statement = insert(events).values(rows).on_conflict_do_nothing().returning(events.c.id)
    with as_user(user) as connection:
        accepted = len(connection.execute(statement).all())
    return Taken(accepted=accepted, duplicates=len(rows) - accepted)


@router.get("")
def list_events(
    user: SignedIn,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[str | None, Query(pattern=f"^{_CURSOR.pattern}$", description="`next` of a page.")] = None,
) -> Page:
    """The signed-in person's events, newest first."""
    query = (
        select(events.c.id, events.c.type, events.c.timestamp, events.c.properties, events.c.session_id)
        .where(events.c.user_id == user.id)
        .order_by(desc(events.c.timestamp), desc(events.c.id))
        .limit(limit + 1)
    )
    if before:
        query = query.where(tuple_(events.c.timestamp, events.c.id) < _position(before))
    with as_user(user) as connection:
        rows = connection.execute(query).mappings().all()
    page = [Event.model_validate(dict(row)) for row in rows[:limit]]
    return Page(events=page, next=_cursor(page[-1]) if len(rows) > limit else None)


def _row(event: NewEvent, user: User, now: datetime) -> dict[str, object]:
    return {
        "id": event.id or uuid4(),
        "user_id": user.id,
        "type": event.type,
        "timestamp": event.timestamp or now,
        "properties": event.properties,
        "session_id": user.session_id,
    }


def _cursor(event: Event) -> str:
    """A position between two events: microseconds, because floating point seconds would round it."""
    return f"{(event.timestamp - _EPOCH) // timedelta(microseconds=1)}-{event.id}"


def _position(cursor: str) -> tuple[datetime, UUID]:
    microseconds, _, event_id = cursor.partition("-")
    return _EPOCH + timedelta(microseconds=int(microseconds)), UUID(event_id)
