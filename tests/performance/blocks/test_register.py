"""A process obeys what the table says within moments, and goes on with what it knows when the table is away."""

from __future__ import annotations

import os
import stat
import statistics
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from opsbook.performance import AddressBlocks
from opsbook.performance.blocks import hits
from tests.flags.helpers import until
from tests.performance.blocks.conftest import OBEYS_WITHIN_SECONDS, newest_revision, obeys

NOWHERE = "postgresql://opsbook@127.0.0.1:1/none"


def block(database: psycopg.Connection, network: str, expires_at: datetime | None = None) -> None:
    database.execute("insert into address_blocks (network, expires_at) values (%s, %s)", [network, expires_at])


def is_counted(database: psycopg.Connection, network: str) -> bool:
    return bool(database.execute("select from address_block_hits where network = %s", [network]).fetchall())


def test_it_obeys_each_change_within_moments(blocks: AddressBlocks, database: psycopg.Connection) -> None:
    seconds: list[float] = []
    for number in range(10):
        block(database, f"203.0.{number}.0/24")
        seconds.append(obeys(blocks, f"203.0.{number}.7"))
        assert not blocks.refuses([f"203.1.{number}.7"])
        database.execute("delete from address_blocks where network = %s", [f"203.0.{number}.0/24"])
        seconds.append(obeys(blocks, f"203.0.{number}.7", refused=False))
    assert statistics.median(seconds) < 1.0  # 0.005 s at rest


def test_it_obeys_one_change_amid_a_hundred_thousand(blocks: AddressBlocks, database: psycopg.Connection) -> None:
    database.execute(
        "insert into address_blocks (network)"
        " select ('11.' || n / 65536 || '.' || n / 256 % 256 || '.' || n % 256)::cidr from generate_series(1, 100000) n"
    )
    obeys(blocks, "11.1.134.160")
    assert len(blocks.networks) == 100_000
    block(database, "203.0.113.0/24")
    assert obeys(blocks, "203.0.113.7") < 2.0  # 0.01 s at rest
    database.execute("delete from address_blocks where network <> '203.0.113.0/24'")
    obeys(blocks, "11.1.134.160", refused=False)
    assert blocks.refuses(["203.0.113.7"])


def test_lifted_and_blocked_again_is_blocked(blocks: AddressBlocks, database: psycopg.Connection) -> None:
    with database.transaction():
        block(database, "203.0.113.0/24")
        database.execute("delete from address_blocks where network = '203.0.113.0/24'")
        block(database, "203.0.113.0/24")
    obeys(blocks, "203.0.113.7")
    with database.transaction():
        database.execute("delete from address_blocks where network = '203.0.113.0/24'")
        block(database, "203.0.113.0/24")
        block(database, "198.51.100.0/24")
    obeys(blocks, "198.51.100.7")
    assert blocks.refuses(["203.0.113.7"])


def test_a_block_ends_by_itself(blocks: AddressBlocks, database: psycopg.Connection) -> None:
    block(database, "203.0.113.0/24", datetime.now(UTC) + timedelta(seconds=1))
    obeys(blocks, "203.0.113.7")
    revision = newest_revision(database)
    obeys(blocks, "203.0.113.7", refused=False)
    assert newest_revision(database) == revision, "nobody had to lift it"


def test_any_address_that_a_caller_may_have_counts(blocks: AddressBlocks, database: psycopg.Connection) -> None:
    block(database, "203.0.113.0/24")
    obeys(blocks, "203.0.113.7")
    assert blocks.refuses(["198.51.100.7", "203.0.113.7"])
    assert not blocks.refuses(["198.51.100.7", "unknown"])
    assert not blocks.refuses([])


def test_what_it_refused_is_counted(blocks: AddressBlocks, database: psycopg.Connection) -> None:
    block(database, "203.0.113.0/24")
    obeys(blocks, "203.0.113.7")
    for _ in range(9):
        blocks.refuses(["203.0.113.8"])
    blocks.report_hits()
    rows = database.execute(
        "select network::text, hits, last_hit_at > now() - interval '1 minute' from address_block_hits"
    )
    assert rows.fetchall() == [("203.0.113.0/24", 10, True)]
    database.execute("delete from address_blocks")
    assert database.execute("select from address_block_hits").fetchall() == []


def test_without_the_database_the_last_state_stays_also_after_a_restart(
    ops_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    database.execute("delete from address_blocks")
    block(database, "203.0.113.0/24")
    file = tmp_path / "snapshots" / "address-blocks"
    first = AddressBlocks(ops_url, file=file)
    obeys(first, "203.0.113.7")
    block(database, "198.51.100.0/24")
    obeys(first, "198.51.100.7")
    first.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    restarted = AddressBlocks(NOWHERE, file=file)
    assert restarted.refuses(["203.0.113.7"])
    assert restarted.refuses(["198.51.100.7"])
    assert not restarted.refuses(["192.0.2.7"])
    restarted.close()


def test_it_can_be_started_again(ops_url: str, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "_EVERY_SECONDS", 0.2)
    database.execute("delete from address_blocks")
    view = AddressBlocks(ops_url)
    for number in range(2):
        view.start()
        block(database, f"203.0.{number}.0/24")
        obeys(view, f"203.0.{number}.7")
        until(lambda n=number: is_counted(database, f"203.0.{n}.0/24"), OBEYS_WITHIN_SECONDS)
        view.close()


@pytest.mark.parametrize("damage", [b"", b"{}\nnothing", b"\x00" * 100])
def test_a_damaged_file_blocks_nobody_and_stops_nothing(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "address-blocks"
    file.write_bytes(damage)
    view = AddressBlocks(NOWHERE, file=file)
    assert not view.refuses(["203.0.113.7"])
    view.close()


def test_a_forked_child_follows_by_itself(blocks: AddressBlocks, database: psycopg.Connection) -> None:
    block(database, "203.0.113.0/24")
    obeys(blocks, "203.0.113.7")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"r" if blocks.refuses(["203.0.113.7"]) else b"?")
            obeys(blocks, "198.51.100.7")
            os.write(writing, b"o")
        finally:
            os._exit(0)
    assert os.read(reading, 1) == b"r"
    block(database, "198.51.100.0/24")
    until(lambda: os.waitpid(child, os.WNOHANG) != (0, 0), OBEYS_WITHIN_SECONDS + 5)
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b"o"
    obeys(blocks, "198.51.100.7")
