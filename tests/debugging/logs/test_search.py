"""What a search or a follower asks for is found by an index, not by looking through every line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import httpx
import psycopg
import pytest

from opsbook.debugging.logs.filter import LogFilter
from opsbook.debugging.logs.store import MOST_LINES, QUERIES

LINES = """
insert into log_lines (writer, number, logged_at, level, logger, message, fields, request_id, trace_id, user_id)
select 88, n, now() - n * interval '1 second', 'info', 'shop', 'order_placed', jsonb_build_object('order', n),
    'request-' || n, md5(n::text)::uuid, 'user-' || n
from generate_series(1, 6000) n
"""


@pytest.fixture(scope="module")
def many_lines(database: psycopg.Connection) -> psycopg.Connection:
    database.execute(LINES)
    database.execute("analyze log_lines")
    return database


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        (LogFilter(request="request-4711"), "Index Cond: (request_id ="),
        (LogFilter(trace="cfcd208495d565ef66e7dff9f98764da"), "Index Cond: (trace_id ="),
        (LogFilter(user="user-4711"), "Index Cond: (user_id ="),
        (LogFilter(text="order 4711"), "log_words_idx"),
        (LogFilter(level="warning"), "logged_at_idx1"),
        (LogFilter(), "logged_at_idx"),
    ],
)
def test_the_index_of_a_filter_is_used(many_lines: psycopg.Connection, wanted: LogFilter, condition: str) -> None:
    place = dict.fromkeys(("since", "until", "before_time", "before_writer", "before_number"))
    explained = many_lines.execute(
        "explain " + QUERIES["search"], {**wanted.parameters(), **place, "limit": 100}, prepare=False
    )
    plan = "\n".join(row[0] for row in explained.fetchall())
    assert condition in plan, plan


def test_a_follower_that_begins_looks_at_no_line_from_before(database: psycopg.Connection) -> None:
    row = database.execute(
        "insert into log_writers (host, process_id, program, environment) values ('host', 1, 'test', 'test')"
        " returning id"
    ).fetchone()
    assert row is not None
    database.execute(
        "insert into log_lines (received_at, writer, number, logged_at, level, logger, message)"
        " select now() - interval '2 minutes', %s, n, now(), 'info', 'busy', 'long_ago'"
        " from generate_series(1, 5000) n",
        row,
    )
    database.execute("analyze log_lines")
    given = {**LogFilter().parameters(), "marks": "{}", "floor": datetime.now(UTC), "limit": 500}
    explained = database.execute("explain (analyze) " + QUERIES["newer"], given, prepare=False).fetchall()
    removed = [int(found[1]) for (line,) in explained if (found := re.search(r"Removed by Filter: (\d+)", line))]
    assert max(removed, default=0) < 100, "\n".join(line for (line,) in explained)


def test_the_largest_page_has_a_next_one(database: psycopg.Connection, api: httpx.Client) -> None:
    database.execute(
        "insert into log_lines (writer, number, logged_at, level, logger, message)"
        " select 99, n, now() - n * interval '1 ms', 'info', 'paged', 'x' from generate_series(1, %s) n",
        [MOST_LINES + 1],
    )
    wanted = {"logger": "paged", "limit": MOST_LINES}
    first = api.get("/api/admin/logs", params=wanted).json()
    assert len(first["lines"]) == MOST_LINES
    second = api.get("/api/admin/logs", params={**wanted, "before": first["next"]}).json()
    assert [line["id"] for line in second["lines"]] == [f"99-{MOST_LINES + 1}"]
    assert second["next"] is None
