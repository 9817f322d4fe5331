"""Blocks typed into psql: refused, numbered, recorded and announced by the database alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.flags.helpers import psql

MANY = 30_000


@pytest.fixture(autouse=True)
def _none_left(database: psycopg.Connection) -> None:
    database.execute("delete from address_blocks")


def records(database: psycopg.Connection, since: int) -> Sequence[dict[str, Any]]:
    with database.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select * from security_audit where target_kind = 'address_block' and id > %s order by id", [since]
        ).fetchall()


def newest_record(database: psycopg.Connection) -> int:
    row = database.execute("select coalesce(max(id), 0) from security_audit").fetchone()
    assert row is not None
    return row[0]


def test_a_block_is_recorded_with_who_and_what(ops_url: str, database: psycopg.Connection) -> None:
    before = newest_record(database)
    typed = psql(
        ops_url,
        "insert into address_blocks (network, reason, expires_at)"
        " values ('203.0.113.0/24', 'scraping', now() + interval '2 hours');"
        "update address_blocks set reason = 'scraping again' where network = '203.0.113.0/24';"
        "delete from address_blocks where network = '203.0.113.0/24';",
    )
    assert typed.returncode == 0, typed.stderr
    found = records(database, before)
    assert [r["action"] for r in found] == ["address_block.create", "address_block.change", "address_block.delete"]
    assert {(r["target"], r["actor"], r["actor_kind"]) for r in found} == {("203.0.113.0/24", "opsbook", "sql")}
    assert (found[1]["before"]["reason"], found[1]["after"]["reason"]) == ("scraping", "scraping again")
    assert found[0]["after"]["created_by"] == "opsbook"
    assert found[2]["after"] is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("('203.0.113.7/24')", "Value has bits set to right of mask"),
        ("('0.0.0.0/0')", "a block is no wider than /8 for IPv4 and /16 for IPv6"),
        ("('2000::/15')", "a block is no wider than /8 for IPv4 and /16 for IPv6"),
        ("('::ffff:203.0.113.0/120')", "an IPv4 network is written as one, not mapped into IPv6"),
        ("('nonsense')", "invalid input syntax for type cidr"),
        ("('198.51.100.0/24', repeat('x', 2001))", "a reason has at most 2,000 characters"),
        ("('198.51.100.0/24', '', 'infinity')", "a block ends in the years 1 to 9999"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(ops_url: str, values: str, told: str) -> None:
    columns = ("network", "reason", "expires_at")[: values.count(",") + 1 if "repeat" not in values else 2]
    typed = psql(ops_url, f"insert into address_blocks ({', '.join(columns)}) values {values}")
    assert typed.returncode != 0
    assert told in typed.stderr


def test_another_network_is_another_block(ops_url: str, database: psycopg.Connection) -> None:
    database.execute("insert into address_blocks (network) values ('203.0.113.0/24')")
    for statement, told in (
        ("update address_blocks set network = '198.51.100.0/24'", "a block's network cannot change"),
        ("truncate address_blocks", "truncate would tell nobody"),
    ):
        typed = psql(ops_url, statement)
        assert typed.returncode != 0
        assert told in typed.stderr


def test_who_blocked_it_cannot_be_made_up(database: psycopg.Connection) -> None:
    database.execute("insert into address_blocks (network, created_by, revision) values ('203.0.113.0/24', 'me', 9e15)")
    database.execute("update address_blocks set created_by = 'her', revision = 0")
    row = database.execute(
        "select created_by, b.revision = r.revision from address_blocks b join revisions r on topic = 'blocks'"
    ).fetchone()
    assert row == ("opsbook", True)


def test_a_long_list_is_quick_and_one_record_each_way(database: psycopg.Connection) -> None:
    """The update above all: joined without care, 30,000 rows before with as many after take minutes."""
    before = newest_record(database)
    networks = (
        f"select ('11.' || n / 65536 || '.' || n / 256 % 256 || '.' || n % 256)::cidr from generate_series(1, {MANY}) n"
    )
    for statement in (
        f"insert into address_blocks (network) {networks}",
        "update address_blocks set reason = 'list'",
        "delete from address_blocks",
    ):
        started = time.monotonic()
        database.execute(statement.encode())
        assert time.monotonic() - started < 60  # 1 s at rest
    found = records(database, before)
    assert [r["action"].rpartition(".")[2] for r in found] == ["create", "change", "delete"]
    assert {r["target"] for r in found} == {f"{MANY} networks"}
    assert {(r["after"]["count"], len(r["after"]["first"])) for r in found} == {(MANY, 100)}
    assert found[0]["after"]["first"][0]["after"]["network"] == "11.0.0.1/32"


def test_a_list_that_a_person_reads_is_recorded_one_by_one(database: psycopg.Connection) -> None:
    before = newest_record(database)
    database.execute(
        "insert into address_blocks (network) select ('198.51.100.' || n)::cidr from generate_series(1, 100) n"
    )
    assert len(records(database, before)) == 100
    database.execute("update address_blocks set reason = reason")
    assert len(records(database, before)) == 100, "nothing changed, nothing is recorded"


def test_a_change_is_announced_once(ops_url: str, database: psycopg.Connection) -> None:
    with psycopg.connect(ops_url, autocommit=True) as listener:
        listener.execute("listen opsbook")
        database.execute("insert into address_blocks (network) values ('203.0.113.0/24'), ('198.51.100.0/24')")
        listener.execute("select 1")
        told = [n.payload for n in listener.notifies(timeout=0.05) if n.payload.startswith("blocks:")]
    assert len(told) == 1
