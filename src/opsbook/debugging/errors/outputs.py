"""Issues, events and projects as the API and `--json` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class IssueOutput(_Row):
    """An issue."""

    id: int
    project_id: int
    title: str
    culprit: str
    level: str
    platform: str
    status: str
    first_seen: datetime
    last_seen: datetime
    events: int
    people: int
    first_release: str | None
    last_release: str | None
    assignee: str | None
    regressed_at: datetime | None
    resolved_at: datetime | None
    resolved_in_next_release: bool
    ignored_until: datetime | None
    ignored_until_events: int | None
    ignored_until_people: int | None
    matching: int | None = None
    """Events that match, of the newest 10,000, where events were asked about."""


class IssuesOutput(BaseModel):
    """A page of issues, the one seen last first; `next` asks for the following one."""

    issues: Sequence[IssueOutput]
    next: str | None


class GroupOutput(_Row):
    """Events with one fingerprint, and what that was made of, as pairs of a kind and a text."""

    id: int
    fingerprint: str
    parts: Sequence[Sequence[str]]
    events: int
    first_seen: datetime
    last_seen: datetime


class TrendOutput(_Row):
    """Events within an hour."""

    began_at: datetime
    events: int


class ValueOutput(_Row):
    """How many of an issue's newest thousand events have a value."""

    field: str
    value: str
    events: int


class CommentOutput(_Row):
    """What an operator wrote."""

    id: int
    created_at: datetime
    actor: str
    text: str


class IssueDetailOutput(_Row):
    """An issue with what belongs to it."""

    issue: IssueOutput
    groups: Sequence[GroupOutput]
    trend: Sequence[TrendOutput]
    values: Sequence[ValueOutput]
    comments: Sequence[CommentOutput]


class EventOutput(_Row):
    """An event as it is found."""

    event_id: UUID
    issue_id: int
    project_id: int
    occurred_at: datetime
    received_at: datetime
    level: str
    environment: str
    release: str | None
    endpoint: str | None
    user_id: str | None
    trace_id: UUID | None
    message: str
    tags: Mapping[str, str]
    stands_for: int


class EventsOutput(BaseModel):
    """A page of events, newest first; `next` asks for the following one."""

    events: Sequence[EventOutput]
    next: str | None


class AttachmentOutput(_Row):
    """A file that came with an event."""

    id: int
    filename: str
    content_type: str | None
    attachment_type: str | None
    bytes: int


class FeedbackOutput(_Row):
    """What somebody wrote about an event."""

    received_at: datetime
    name: str | None
    email: str | None
    message: str
    url: str | None


class EventDetailOutput(EventOutput):
    """An event with its document, as the SDK sent it but for what was scrubbed, and its neighbours in the issue."""

    document: Mapping[str, Any]
    attachments: Sequence[AttachmentOutput]
    feedback: Sequence[FeedbackOutput]
    older: UUID | None
    newer: UUID | None


class KeyOutput(_Row):
    """A key that lets its holder send to a project."""

    public_key: str
    project_id: int
    label: str
    created_at: datetime
    disabled_at: datetime | None


class ProjectOutput(_Row):
    """A project and its quotas."""

    id: int
    name: str
    events_per_minute: int | None
    events_per_hour: int | None
    events_per_day: int | None
    megabytes_per_day: int | None
    created_at: datetime
