"""What is forgotten of errors once no event is left: issues, whom they met, releases; in small batches.

The worker does it every hour. A flood of a million different errors is gone as slowly as nobody
notices, and what has been decided outlives the events that it was decided about: a resolved issue
is known again when it comes back within a year, an ignored one stays ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries

DECIDED_KEPT_DAYS: Final = 365
"""Since they were last seen: issues that are resolved, ignored, assigned, commented or made of several; releases."""
ISSUES_AT_ONCE: Final = 200
ROWS_AT_ONCE: Final = 10_000
MOST_BATCHES: Final = 1_000
"""In one run; the next one goes on."""
_QUERIES: Final = load_queries("opsbook.debugging.errors")


async def forget_quiet(connection: Connection, kept_days: int) -> int:
    """Forget what no event is left of, where events are kept for so many days; gives how many issues that was."""
    days = {"days": kept_days, "decided_days": max(kept_days, DECIDED_KEPT_DAYS)}
    forgotten = await _forget_issues(connection, days)
    await _forget_people_of_decided(connection, days)
    await _until_none(connection, "forget_releases", {**days, "limit": ROWS_AT_ONCE})
    return forgotten


async def _forget_issues(connection: Connection, days: dict[str, int]) -> int:
    after = forgotten = 0
    for _ in range(MOST_BATCHES):
        page = {**days, "after": after, "limit": ISSUES_AT_ONCE}
        issues = await _ids(connection, "quiet_issues", page)
        if not issues:
            break
        after = issues[-1]
        # Before the issues, whose deletion would take them along all at once.
        groups = await _ids(connection, "groups_of_issues", {"issues": issues})
        await _forget_of_groups(connection, groups, "forget_people", "forget_minutes")
        row = await (await connection.execute(_QUERIES["forget_issues"], {**days, "issues": issues})).fetchone()
        forgotten += row["forgotten"] if row else 0
    return forgotten


async def _forget_people_of_decided(connection: Connection, days: dict[str, int]) -> None:
    for _ in range(MOST_BATCHES):
        groups = await _ids(connection, "quiet_groups_with_people", {**days, "limit": ISSUES_AT_ONCE})
        if not groups:
            break
        await _forget_of_groups(connection, groups, "forget_people")


async def _forget_of_groups(connection: Connection, groups: Sequence[int], *queries: str) -> None:
    for query in queries:
        await _until_none(connection, query, {"groups": groups, "limit": ROWS_AT_ONCE})


async def _until_none(connection: Connection, query: str, parameters: dict[str, Any]) -> None:
    """Each batch in a transaction of its own, that none is long."""
    while (await connection.execute(_QUERIES[query], parameters)).rowcount:
        pass


async def _ids(connection: Connection, query: str, parameters: dict[str, Any]) -> list[int]:
    return [row["id"] for row in await (await connection.execute(_QUERIES[query], parameters)).fetchall()]
