"""The packaged schema: any number of starts at once, each file once, no drift."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from opsbook.chapters import CHAPTERS
from opsbook.core.errors import Unavailable
from opsbook.core.schema import SchemaDrift, SchemaFile, apply_schema
from tests.command_line import opsbook

AT_ONCE = 6


def test_six_starts_at_once_apply_each_file_once(empty_database: str) -> None:
    barrier = Barrier(AT_ONCE)

    def start(_: int) -> list[SchemaFile]:
        barrier.wait()
        return list(apply_schema(empty_database, CHAPTERS))

    with ThreadPoolExecutor(AT_ONCE) as executor:
        applied = Counter(file for files in executor.map(start, range(AT_ONCE)) for file in files)
    assert {"core", "flags"} <= {file.folder for file in applied}
    assert set(applied.values()) == {1}
    assert apply_schema(empty_database, CHAPTERS) == []


def test_it_needs_no_superuser_and_brings_the_tables_of_jobs(empty_database: str) -> None:
    apply_schema(empty_database, CHAPTERS)
    with psycopg.connect(empty_database) as connection:
        role = connection.execute(
            "select rolsuper, rolcreaterole from pg_roles where rolname = current_user"
        ).fetchone()
        assert role == (False, False)
        # By their plain names: the runbook's SQL is typed without a schema.
        for table in ("security_audit", "feature_flags", "procrastinate_jobs", "procrastinate_workers"):
            assert connection.execute("select to_regclass(%s) is not null", (table,)).fetchone() == (True,), table


def test_a_changed_file_is_refused_and_nothing_is_applied(empty_database: str) -> None:
    apply_schema(empty_database, [])
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("update opsbook.schema_files set sha256 = 'other' where file = '0002_access.sql'")
        with pytest.raises(SchemaDrift, match=r"core/0002_access\.sql"):
            apply_schema(empty_database, CHAPTERS)
        assert connection.execute("select to_regclass('opsbook.feature_flags')").fetchone() == (None,)
    typed = opsbook("worker", OPSBOOK_DATABASE_URL=empty_database)
    assert typed.code == 3
    assert "Schema drift" in typed.err


def test_a_database_that_does_not_answer_is_told() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        apply_schema("postgresql://nobody@127.0.0.1:1/none", CHAPTERS)
