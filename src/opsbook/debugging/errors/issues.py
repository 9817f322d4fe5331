"""One issue: what is known of it, and what operators decide about it.

The functions that change something take a connection that is acting for somebody (`audit.acting`);
the tables' triggers record it, as they do for SQL typed by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow

from opsbook.core.errors import Conflict, NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries

_QUERIES: Final = load_queries("opsbook.debugging.errors")
SHORT_TREND: Final = timedelta(hours=24)
_TREND_STEP: Final = timedelta(hours=1)
_TREND_PERIOD: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class IssueDetail:
    """An issue with what belongs to it."""

    issue: DictRow
    groups: Sequence[DictRow]
    trend: Sequence[DictRow]
    """Events by the hour of the last fortnight; hours without any are left out."""
    values: Sequence[DictRow]
    """Environments, releases, endpoints, users and tags of its newest thousand events, most frequent first."""
    comments: Sequence[DictRow]


async def get_issue(connection: Connection, issue: int) -> DictRow:
    """One issue; of one that was merged, that into which it was.

    Raises:
        NotFound: There is none of that number.
    """
    row = await _one(connection, "issue", issue)
    return await get_issue(connection, row["merged_into"]) if row["merged_into"] else row


async def describe_issue(connection: Connection, issue: int) -> IssueDetail:
    """An issue and all that is known of it. Raises `NotFound`."""
    row = await get_issue(connection, issue)
    of = {"id": row["id"], "step": _TREND_STEP, "period": _TREND_PERIOD}
    groups, trend, values, comments = [
        await (await connection.execute(_QUERIES[name], of)).fetchall()
        for name in ("issue_groups", "trend", "top_values", "comments")
    ]
    return IssueDetail(row, groups, trend, values, comments)


async def trends(connection: Connection, issues: Sequence[int]) -> Mapping[int, Sequence[DictRow]]:
    """Events of each issue by the hour of the last day; hours without any are left out."""
    parameters = {"issues": list(issues), "step": _TREND_STEP, "period": SHORT_TREND}
    by_issue: dict[int, list[DictRow]] = {issue: [] for issue in issues}
    for row in await (await connection.execute(_QUERIES["trends"], parameters)).fetchall():
        by_issue[row["issue_id"]].append(row)
    return by_issue


async def unattended(connection: Connection, limit: int) -> Sequence[DictRow]:
    """Issues that came back, then those first seen within a day, as far as nobody is assigned to them."""
    return await (await connection.execute(_QUERIES["unattended"], {"limit": limit})).fetchall()


async def last_decision(connection: Connection, issue: int) -> DictRow | None:
    """The newest record of the issue in the audit."""
    return await (await connection.execute(_QUERIES["last_decision"], {"id": issue})).fetchone()


async def resolve(connection: Connection, issue: int, *, in_next_release: bool = False) -> DictRow:
    """Done with until it happens again, or does in a release that came after its last one. Raises `NotFound`."""
    return await _one(connection, "resolve", issue, in_next_release=in_next_release)


async def ignore(
    connection: Connection,
    issue: int,
    *,
    until: datetime | None = None,
    events: int | None = None,
    people: int | None = None,
) -> DictRow:
    """Not to be seen: for good, until a time, or until so many more events or people. Raises `NotFound`."""
    return await _one(connection, "ignore", issue, until=until, events=events, people=people)


async def reopen(connection: Connection, issue: int) -> DictRow:
    """To be looked at again. Raises `NotFound`."""
    return await _one(connection, "reopen", issue)


async def assign(connection: Connection, issue: int, assignee: str | None) -> DictRow:
    """Somebody looks after it, or nobody. Raises `NotFound`."""
    return await _one(connection, "assign", issue, assignee=assignee)


async def comment(connection: Connection, issue: int, text: str) -> DictRow:
    """Note something, in the name of whoever acts. Raises `NotFound`."""
    return await _one(connection, "comment", issue, text=text)


async def undo(connection: Connection, issue: int, record: int) -> DictRow:
    """Make the issue what it was before its last decision, the one of this record in the audit.

    Raises:
        Conflict: Something else was decided since, or it happened again.
        NotFound: There is no such issue, or the record is of no decision that can be undone.
    """
    await _one(connection, "lock_issue", issue)
    last = await last_decision(connection, issue)
    if last is not None and last["id"] > record:
        raise Conflict(f"issue {issue} was changed again since; look at it as it is now, and decide anew")
    return await _one(connection, "undo", issue, record=record)


async def uncomment(connection: Connection, issue: int, comment: int) -> None:
    """Take back a comment of whoever acts. Raises `NotFound`."""
    parameters = {"id": issue, "comment": comment}
    if await (await connection.execute(_QUERIES["uncomment"], parameters)).fetchone() is None:
        raise NotFound(f"issue {issue} has no comment {comment} of yours")


async def delete(connection: Connection, issue: int) -> None:
    """Forget it and its events; should it happen again, it is new. Raises `NotFound`."""
    await _one(connection, "delete_issue", issue)


async def merge(connection: Connection, target: int, sources: Sequence[int]) -> DictRow:
    """Make `sources` part of `target`, with all events to come.

    Raises:
        NotFound: One of them does not exist, or belongs to another project.
        Invalid: It would be merged into itself.
    """
    try:
        await connection.execute(_QUERIES["merge"], {"target": target, "sources": list(sources)})
    except psycopg.errors.NoDataFound as error:
        raise NotFound(error.diag.message_primary or "there is no such issue") from error
    return await get_issue(connection, target)


async def split(connection: Connection, issue: int, groups: Sequence[int]) -> DictRow:
    """Take groups out into an issue of their own, with all their events to come; gives the new issue.

    Raises:
        NotFound: The issue has no such group.
        Invalid: None would be left.
    """
    try:
        row = await (await connection.execute(_QUERIES["split"], {"id": issue, "groups": list(groups)})).fetchone()
    except psycopg.errors.NoDataFound as error:
        raise NotFound(error.diag.message_primary or "there is no such group") from error
    assert row is not None
    return await get_issue(connection, row["made"])


async def _one(connection: Connection, name: str, issue: int, **parameters: Any) -> DictRow:
    row = await (await connection.execute(_QUERIES[name], {**parameters, "id": issue})).fetchone()
    if row is None:
        raise NotFound(f"there is no issue {issue}; `opsbook errors list` shows them")
    return row
