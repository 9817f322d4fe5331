"""Poolers are recognised, on a real PgBouncer in both modes, and what they break is said."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import psycopg
import pytest

from opsbook.core.errors import NotConfigured, Unavailable
from opsbook.core.settings import load_settings
from opsbook.database.pool.address import Address, address_of_url
from opsbook.database.pool.pooler import Mode, Pooler, by_address, recognise
from tests.command_line import opsbook
from tests.pgbouncer import pgbouncer
from tests.serving import serving


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_pgbouncer_is_recognised_with_its_mode(service_url: str, mode: str) -> None:
    with pgbouncer(service_url, mode) as pooled:
        assert asyncio.run(recognise(pooled)) == Pooler("PgBouncer", Mode(mode))


def test_the_server_itself_is_none(service_url: str) -> None:
    assert asyncio.run(recognise(service_url)) is None


@pytest.mark.parametrize(
    ("url", "pooler"),
    [
        ("postgresql://u@aws-0-eu-west-1.pooler.supabase.com:6543/postgres", Pooler("Supavisor", Mode.TRANSACTION)),
        ("postgresql://u@aws-0-eu-west-1.pooler.supabase.com:5432/postgres", Pooler("Supavisor", Mode.SESSION)),
        ("postgresql://u@aws-0-eu-west-1.pooler.supabase.com/postgres", Pooler("Supavisor", Mode.SESSION)),
        ("postgresql://u@db.abcdefgh.supabase.co:6543/postgres", Pooler("PgBouncer", Mode.TRANSACTION)),
        ("postgresql://u@db.abcdefgh.supabase.co:5432/postgres", None),
        ("postgresql://u@pooler.supabase.com.example.org:6543/postgres", None),
        ("host=localhost port=6543 dbname=x", None),
    ],
)
def test_supabases_addresses_say_it_themselves(url: str, pooler: Pooler | None) -> None:
    assert by_address(address_of_url(url)) == pooler


def test_an_address_never_shows_a_password() -> None:
    assert str(address_of_url("postgresql://user:secret@db.example.org/shop")) == "db.example.org:5432/shop"
    assert address_of_url("dbname=shop") == Address("127.0.0.1", 5432, "shop")
    with pytest.raises(NotConfigured) as refused:
        address_of_url("postgres=//user:secret@db")
    assert "secret" not in str(refused.value)


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(recognise("postgresql://nobody@127.0.0.1:1/none"))


def test_the_command_says_what_a_transaction_pooler_breaks(ops_url: str, service_url: str) -> None:
    with pgbouncer(service_url, "transaction") as pooled, psycopg.connect(ops_url, autocommit=True) as ops:
        ops.execute("""
            insert into pool_processes
                (id, host, pid, program, database, checked_out, waiting, longest_wait_seconds)
            values (gen_random_uuid(), 'a', 7, 'web', 'db:5432/shop', 0, 0, 0)
        """)
        shown = opsbook("db", "pool", OPSBOOK_DATABASE_URL=ops_url, DATABASE_URL=pooled)
    assert shown.code == 0, shown.err
    assert "behind PgBouncer in transaction mode" in shown.out
    assert "LISTEN (notifications never arrive)" in shown.out


def test_the_command_warns_of_one_before_the_ops_database_even_where_nothing_else_works(ops_url: str) -> None:
    with pgbouncer(ops_url, "transaction") as pooled:
        shown = opsbook("db", "pool", OPSBOOK_DATABASE_URL=pooled)
    assert shown.code == 3
    assert "OPSBOOK_DATABASE_URL leads to PgBouncer in transaction mode" in shown.err


def test_a_start_with_the_ops_database_behind_one_warns(
    ops_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[str] = []
    with pgbouncer(ops_url, "transaction") as pooled, serving(load_settings(ops_database_url=pooled, home=tmp_path)):
        deadline = time.monotonic() + 15
        while not (told := [line for line in logged if "ops_database_behind_transaction_pooler" in line]):
            assert time.monotonic() < deadline, logged
            time.sleep(0.05)
            logged += "".join(capsys.readouterr()).splitlines()
    event = json.loads(told[0])
    assert (event["level"], event["pooler"]) == ("warning", "PgBouncer in transaction mode")
    assert "OPSBOOK_DATABASE_URL" in event["remedy"]
