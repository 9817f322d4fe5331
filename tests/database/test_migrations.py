"""Migrations of the Supabase CLI's folder: applied in order, once, whole or not at all, and recorded as it records."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from opsbook.core.errors import Unavailable
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.database.migrations import MigrationFailed, apply_pending, pending


@pytest.fixture
def url(clusters: EmbeddedPostgres, request: pytest.FixtureRequest) -> str:
    """An empty database of the test's own."""
    name = f"migrations_{abs(hash(request.node.nodeid)):x}_{os.getpid()}"
    with psycopg.connect(clusters.superuser_url("service"), autocommit=True) as connection:
        connection.execute(f"create database {name} owner postgres".encode())
    return clusters.urls["service"].rsplit("/", 1)[0] + f"/{name}?sslmode=disable"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], None]:
    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text)

    return write


def answers(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_applied_in_order_and_once(url: str, tmp_path: Path, write: Callable[[str, str], None]) -> None:
    write("20260102000000_add.sql", "insert into notes values (1); insert into notes values (2);")
    write("20260101000000_make_notes.sql", "create table notes (id int);")
    write("README.md", "not a migration")
    write("notes.sql", "not a migration either")
    assert [migration.version for migration in pending(url, tmp_path)] == ["20260101000000", "20260102000000"]
    assert len(apply_pending(url, tmp_path)) == 2
    assert list(pending(url, tmp_path)) == list(apply_pending(url, tmp_path)) == []
    assert answers(url, "select version, name, statements from supabase_migrations.schema_migrations order by 1") == [
        ("20260101000000", "make_notes", ["create table notes (id int)"]),
        ("20260102000000", "add", ["insert into notes values (1)", "insert into notes values (2)"]),
    ]
    assert answers(url, "select count(*) from notes") == [(2,)]


def test_a_failing_one_leaves_no_trace_and_those_before_it_stand(
    url: str, tmp_path: Path, write: Callable[[str, str], None]
) -> None:
    write("1_good.sql", "create table good ();")
    write("2_bad.sql", "create table bad (); select 1/0;")
    write("3_after.sql", "create table after ();")
    with pytest.raises(MigrationFailed, match=r"2_bad\.sql.*division by zero"):
        apply_pending(url, tmp_path)
    assert [migration.version for migration in pending(url, tmp_path)] == ["2", "3"]
    assert answers(url, "select tablename from pg_tables where schemaname = 'public'") == [("good",)]


def test_two_at_once_apply_each_file_once(url: str, tmp_path: Path, write: Callable[[str, str], None]) -> None:
    for number in range(1, 6):
        write(f"{number}_one.sql", f"create table t{number} (); select pg_sleep(0.02);")
    applied: list[int] = []
    threads = [threading.Thread(target=lambda: applied.append(len(apply_pending(url, tmp_path)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [0, 0, 5]


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        pending("postgresql://nobody@127.0.0.1:1/none", tmp_path)
