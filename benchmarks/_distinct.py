"""A million messages that have nothing in common, then as many again that differ by nothing but numbers and names.

The server's memory must not follow them, ingest must not slow down, and an operator must still get a list at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg

from benchmarks._servers import control_plane, ops_database, wait_for

MESSAGES = 1_000_000
ALIKE = 100_000
AT_ONCE = 200
"""Events in one envelope."""
SENDERS = 4
LARGEST_GROWTH_MIB = 48.0
"""Of the server, from a tenth of the way to the end."""
SLOWEST_LIST_SECONDS = 2.0
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def main() -> int:
    """Send, and tell what became of it; 1 if something was not as it should be."""
    with (
        ops_database() as (url, folder),
        control_plane(url, folder) as client,
        psycopg.connect(url, autocommit=True) as database,
    ):
        failures = soak(client, database)
    print("\n".join(failures) or "held")
    return 1 if failures else 0


def soak(client: httpx.Client, database: psycopg.Connection) -> list[str]:
    database.execute(
        "update error_projects set events_per_minute = null, events_per_day = null, megabytes_per_day = null"
    )
    key = one(database, "select public_key from error_project_keys")
    server = next(child for child in psutil.Process().children() if "serve" in child.cmdline())
    first = send(client, key, [distinct(number) for number in range(MESSAGES // 10)])
    memory = resident_mib(server)
    rest = 0.0
    for start in range(MESSAGES // 10, MESSAGES, MESSAGES // 10):
        rest = send(client, key, [distinct(number) for number in range(start, start + MESSAGES // 10)])
        print(f"{start + MESSAGES // 10:,} messages, {resident_mib(server):.0f} MiB, {rest:,.0f} a second", flush=True)
    send(client, key, [alike(number) for number in range(ALIKE)])
    grown = resident_mib(server) - memory
    wait_for(lambda: one(database, "select count(*) from error_pending_counts") == 0)
    slowest = max(seconds_of(client, status) for status in ("unresolved", "resolved"))
    issues = one(database, "select count(*) from error_issues")
    events = one(database, "select sum(events)::bigint from error_issues")
    print(f"{issues:,} issues of {events:,} events; {first:,.0f} a second at first, {rest:,.0f} in the end")
    print(f"the server grew by {grown:+.1f} MiB to {resident_mib(server):.0f}; a list takes {slowest * 1000:.0f} ms")
    checks = {
        f"{issues:,} issues are not {MESSAGES + 1:,}": issues == MESSAGES + 1,
        f"{events:,} events are not {MESSAGES + ALIKE:,}": events == MESSAGES + ALIKE,
        f"the server grew by {grown:.0f} MiB": grown <= LARGEST_GROWTH_MIB,
        f"a list takes {slowest:.1f} s": slowest <= SLOWEST_LIST_SECONDS,
        f"ingest fell from {first:,.0f} to {rest:,.0f} a second": rest >= first / 2,
    }
    return [failure for failure, held in checks.items() if not held]


def distinct(number: int) -> str:
    """A message like no other, without a digit that would be taken for a variable part."""
    words: list[str] = []
    for length in (2, 2, 1):
        word = ""
        for _ in range(length):
            number, digit = divmod(number, len(SYLLABLES))
            word += SYLLABLES[digit]
        words.append(word)
    return f"could not {words[0]} the {words[1]} of {words[2]}"


def alike(number: int) -> str:
    """A message whose variable parts are all that is new."""
    return f"payment {number} of {uuid4()} by user{number}@example.org failed after {number / 7:.2f} ms"


def send(client: httpx.Client, key: str, messages: list[str]) -> float:
    """Send events of these messages on several connections; gives how many a second were acknowledged."""
    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(lambda part: post(client, key, part), parts(messages)))
    return len(messages) / (time.monotonic() - began)


def parts(messages: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(messages), AT_ONCE):
        yield messages[start : start + AT_ONCE]


def post(client: httpx.Client, key: str, messages: list[str]) -> None:
    lines = [b"{}"]
    for message in messages:
        event = {"event_id": uuid4().hex, "message": message, "user": {"id": message[-7:]}}
        lines += [b'{"type":"event"}', json.dumps(event).encode()]
    answer = client.post(f"/api/1/envelope/?sentry_key={key}", content=b"\n".join(lines))
    assert answer.status_code == 200, answer.text


def seconds_of(client: httpx.Client, status: str) -> float:
    began = time.monotonic()
    client.get("/api/admin/errors", params={"status": status}).raise_for_status()
    return time.monotonic() - began


def resident_mib(process: psutil.Process) -> float:
    return process.memory_info().rss / 2**20


def one(database: psycopg.Connection, query: str) -> Any:
    row = database.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
