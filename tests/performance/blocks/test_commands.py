"""`opsbook block`: what it tells before it does it, what it refuses, and long lists."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from tests.command_line import Typed, opsbook

MANY = 30_000


@pytest.fixture(autouse=True)
def _none_left(database: psycopg.Connection) -> None:
    database.execute("delete from address_blocks")


def typed(ops_url: str, *arguments: str, **environment: str) -> Typed:
    return opsbook("block", *arguments, OPSBOOK_DATABASE_URL=ops_url, **environment)


def test_a_block_for_two_hours(ops_url: str, database: psycopg.Connection) -> None:
    added = typed(ops_url, "add", "203.0.113.0/24", "--for", "2h", "--reason", "scraping [bold]", "--yes")
    assert (added.code, added.out) == (0, "blocked 1 networks\n")
    row = database.execute("select reason, expires_at - now() from address_blocks").fetchone()
    assert row is not None
    assert row[0] == "scraping [bold]"
    assert 7100 < row[1].total_seconds() <= 7200
    listed = typed(ops_url, "list")
    assert "203.0.113.0/24" in listed.out and "scraping [bold]" in listed.out
    assert [each["hits"] for each in typed(ops_url, "list", "--address", "203.0.113.7", "--json").json] == [0]
    removed = typed(ops_url, "remove", "203.0.113.0/24", "--yes", "--json")
    assert removed.json == {"removed": 1}
    assert "opsbook block add" in typed(ops_url, "list").out
    assert typed(ops_url, "remove", "203.0.113.0/24", "--yes").code == 3


def test_no_block_ends_beyond_the_calendar(ops_url: str) -> None:
    tried = typed(ops_url, "add", "203.0.113.0/24", "--for", "999999w", "--dry-run")
    assert (tried.code, "century" in tried.err) == (2, True)


def test_nothing_is_done_unasked(ops_url: str, database: psycopg.Connection) -> None:
    tried = typed(ops_url, "add", "203.0.113.0/24", "--dry-run")
    assert (tried.code, tried.out) == (0, "would block 203.0.113.0/24 until removed\n")
    unasked = typed(ops_url, "add", "203.0.113.0/24")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert database.execute("select from address_blocks").fetchall() == []


def test_overlaps_are_told(ops_url: str) -> None:
    typed(ops_url, "add", "203.0.113.0/24", "198.51.100.7", "--yes")
    told = typed(ops_url, "add", "203.0.113.7", "198.51.100.0/24", "--dry-run")
    assert "203.0.113.7/32 lies within 203.0.113.0/24" in told.err
    assert "198.51.100.0/24 contains 198.51.100.7/32" in told.err


@pytest.mark.parametrize(
    "session", [{"SSH_CONNECTION": "203.0.113.7 50000 10.0.0.1 22"}, {"SSH_CLIENT": "203.0.113.7 50000 22"}]
)
def test_whoever_sits_behind_ssh_is_not_locked_out(ops_url: str, session: dict[str, str]) -> None:
    refused = typed(ops_url, "add", "203.0.113.0/24", "--yes", **session)
    assert refused.code == 3
    assert "203.0.113.7" in refused.err and "--even-mine" in refused.err
    assert typed(ops_url, "add", "203.0.113.0/24", "--yes", "--even-mine", **session).code == 0


@pytest.mark.parametrize(
    "arguments", [["203.0.113.7/24"], ["0.0.0.0/0"], [], ["--file", "/nonexistent"], ["x", "--for", "y"]]
)
def test_wrong_usage_is_code_2(ops_url: str, arguments: list[str]) -> None:
    assert typed(ops_url, "add", *arguments, "--yes").code == 2


def test_a_long_list(ops_url: str, database: psycopg.Connection, tmp_path: Path) -> None:
    file = tmp_path / "drop.txt"
    lines = ["; a published list", *(f"11.{n // 65536}.{n // 256 % 256}.{n % 256} ; SBL{n}" for n in range(MANY))]
    file.write_text("\n".join(lines))
    started = time.monotonic()
    added = typed(ops_url, "add", "--file", str(file), "--yes", "--json")
    assert added.json == {"added": MANY, "changed": 0, "unchanged": 0}
    assert time.monotonic() - started < 60  # 1 s at rest
    assert len(typed(ops_url, "list", "--after", "11.0.117.37/32", "--json").json) == 10
    assert typed(ops_url, "remove", "--file", str(file), "--yes").out == f"lifted {MANY} blocks\n"
