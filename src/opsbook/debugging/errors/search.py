"""Finding issues and events: by endpoint, user, release, environment, level, time, tag, text, status; page by page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, LiteralString, TypeAlias
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from opsbook.core.errors import Invalid
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries

Status: TypeAlias = Literal["unresolved", "regressed", "resolved", "ignored", "merged"]
"""Regressed are those unresolved issues that came back."""
MOST_ROWS: Final = 1_000
PLACE_PATTERN: Final = "^([0-9]{1,16})_([0-9a-f-]{1,36})$"
"""Microseconds since 1970, and the number of an issue or the id of an event."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_QUERIES: Final = load_queries("opsbook.debugging.errors")


def _complete(query: LiteralString) -> LiteralString:
    """A statement with the conditions put in that it names."""
    for name in ("issue_filter", "event_filter", "status_filter"):
        query = query.replace("{" + name + "}", _QUERIES[name])
    return query


_EVENTS: Final = _complete(_QUERIES["events"])
_ISSUES: Final = _complete(_QUERIES["issues"])
_ISSUES_OF_EVENTS: Final = _complete(_QUERIES["issues_of_events"])
_COUNTS: Final = _complete(_QUERIES["issue_counts"])
_COUNTS_OF_EVENTS: Final = _complete(_QUERIES["issue_counts_of_events"])


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: each field narrows, None does not."""

    project: int | None = None
    issue: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    endpoint: str | None = None
    """The transaction, as the SDK names it: `/orders/{order_id}`."""
    user: str | None = None
    """The user's id, else e-mail address, name or IP address, as the event has it."""
    release: str | None = None
    environment: str | None = None
    level: str | None = None
    trace: UUID | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    """All of which the event has."""
    text: str | None = None
    """Part of the message, in any case."""

    def parameters(self) -> dict[str, Any]:
        """Of the statements that look for events; of all issues, unless told which groups."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        tags = Jsonb(dict(self.tags)) if self.tags else None
        return {**plain, "tags": tags, "text": _containing(self.text), "group": None, "groups": None}


@dataclass(frozen=True, slots=True)
class IssueFilter:
    """Which issues: those in that status (None: any) that have events which match, if anything is asked of events."""

    status: Status | None = None
    assignee: str | None = None
    events: EventFilter = field(default_factory=EventFilter)

    @property
    def asks_of_events(self) -> bool:
        """Whether more is asked than an issue itself knows."""
        asked = self.events
        return any(
            (
                *(asked.since, asked.until, asked.endpoint, asked.user, asked.release, asked.environment),
                *(asked.trace, asked.tags),
            )
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of a list ended: the next begins after it."""

    moment: datetime
    id: str

    def __str__(self) -> str:
        return f"{(self.moment - _EPOCH) // timedelta(microseconds=1)}_{self.id}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """A place as a list gave it.

        Raises:
            Invalid: It is none.
        """
        found = re.fullmatch(PLACE_PATTERN, text, re.ASCII)
        if found is None:
            raise Invalid(f"{text[:80]!r} is no page of a list; take `next` of the page before")
        return cls(_EPOCH + timedelta(microseconds=int(found[1])), found[2])


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, and where the next one begins; None at the end."""

    rows: Sequence[DictRow]
    next: Place | None


async def find_events(
    connection: Connection, wanted: EventFilter, *, limit: int = 100, after: Place | None = None
) -> Page:
    """Events that match, newest first."""
    before_id = _uuid(after.id) if after else None
    parameters = {**wanted.parameters(), **_paging(limit, after), "before_id": before_id}
    if wanted.issue is not None:
        parameters |= await _groups_of(connection, wanted.issue)
    return await _page(connection, _EVENTS, parameters, ("occurred_at", "event_id"))


async def find_issues(
    connection: Connection, wanted: IssueFilter, *, limit: int = 100, after: Place | None = None
) -> Page:
    """Issues that match, the one seen last first; by what they do not know themselves, of the newest 10,000 events."""
    before_id = _number(after.id) if after else None
    parameters = {
        **wanted.events.parameters(),
        **_paging(limit, after),
        "status": wanted.status,
        "assignee": wanted.assignee,
        "before_id": before_id,
    }
    query = _ISSUES_OF_EVENTS if wanted.asks_of_events else _ISSUES
    return await _page(connection, query, parameters, ("last_seen", "id"))


async def count_issues(connection: Connection, wanted: IssueFilter) -> Mapping[str, int]:
    """How many that match are unresolved, regressed, ignored and resolved, whichever status is wanted.

    Beyond a thousand of a status they are not counted.
    """
    parameters = {**wanted.events.parameters(), "status": None, "assignee": wanted.assignee}
    query = _COUNTS_OF_EVENTS if wanted.asks_of_events else _COUNTS
    row = await (await connection.execute(query, parameters, prepare=False)).fetchone()
    assert row is not None
    return row


async def _groups_of(connection: Connection, issue: int) -> dict[str, Any]:
    """Looked up first: for one group, as most issues have, the newest events stand at the beginning of an index."""
    rows = await (await connection.execute(_QUERIES["group_ids"], {"issue": issue})).fetchall()
    groups = [row["id"] for row in rows]
    return {"group": groups[0]} if len(groups) == 1 else {"groups": groups}


def _paging(limit: int, after: Place | None) -> dict[str, Any]:
    # One more than asked for shows whether there is a next page.
    return {"limit": max(1, min(limit, MOST_ROWS)) + 1, "before": after.moment if after else None}


async def _page(connection: Connection, query: Any, parameters: dict[str, Any], key: tuple[str, str]) -> Page:
    # Never prepared: a plan for any filter would use the indexes of none.
    rows = await (await connection.execute(query, parameters, prepare=False)).fetchall()
    if len(rows) < parameters["limit"]:
        return Page(rows, None)
    last = rows[-2]
    return Page(rows[:-1], Place(last[key[0]], str(last[key[1]])))


def _containing(text: str | None) -> str | None:
    """The text as a pattern of `ilike` that matches it anywhere, and nothing else."""
    if not text:
        return None
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Invalid(f"{text[:40]!r} is no event; take `next` of the page before") from error


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Invalid(f"{text[:40]!r} is no issue; take `next` of the page before")
    return int(text)
