"""The real Supabase CLI on our database and folder, without Docker.

Every command takes the address by `--db-url`, as `opsbook url service` prints it: with `sslmode=disable`, because
the bundled Postgres has no TLS. `supabase start` and `db dump` need Docker and are not tried here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from opsbook.database.migrations import apply_pending, pending

PROJECT = Path(__file__).resolve().parent.parent.parent
PROGRAM = PROJECT / "node_modules" / ".bin" / "supabase"
QUIET = {"DO_NOT_TRACK": "1", "SUPABASE_TELEMETRY_DISABLED": "1", "NO_COLOR": "1"}

Supabase = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's Supabase folder."""
    shutil.copytree(PROJECT / "supabase", tmp_path / "supabase", ignore=shutil.ignore_patterns(".temp"))
    return tmp_path


@pytest.fixture
def supabase(project: Path) -> Supabase:
    """Runs a command of the CLI in that copy."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **QUIET}
        answer = subprocess.run(
            [PROGRAM, *arguments], cwd=project, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer

    return run


def ours() -> list[str]:
    return sorted(file.name.split("_")[0] for file in (PROJECT / "supabase" / "migrations").glob("*.sql"))


def applied(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = "select version from supabase_migrations.schema_migrations order by version"
        return [row[0] for row in connection.execute(query)]


def security_findings(supabase: Supabase, url: str) -> list[str]:
    answer = supabase("db", "advisors", "--type", "security", "--level", "info", "--db-url", url)
    return [finding["name"] for finding in json.loads(answer.stdout)] if answer.stdout else []


def test_migrations_are_pushed_listed_and_pushed_no_more(bare_service_url: str, supabase: Supabase) -> None:
    remote = ("--db-url", bare_service_url)
    assert "Would push" in supabase("db", "push", "--dry-run", *remote).stderr
    supabase("db", "push", "--yes", *remote)
    assert applied(bare_service_url) == ours()
    listed = supabase("migration", "list", *remote).stdout
    assert all(listed.count(version) == 2 for version in ours()), listed
    assert "up to date" in supabase("db", "push", "--dry-run", *remote).stdout
    assert security_findings(supabase, bare_service_url) == []


def test_the_cli_knows_what_opsbook_applied(bare_service_url: str, supabase: Supabase) -> None:
    apply_pending(bare_service_url, PROJECT / "supabase" / "migrations")
    assert "up to date" in supabase("db", "push", "--dry-run", "--db-url", bare_service_url).stdout
    assert pending(bare_service_url, PROJECT / "supabase" / "migrations") == []


def test_a_new_migration_is_pending_until_it_is_pushed(
    bare_service_url: str, project: Path, supabase: Supabase
) -> None:
    remote = ("--db-url", bare_service_url)
    supabase("migration", "new", "add_notes")
    (new,) = (project / "supabase" / "migrations").glob("*_add_notes.sql")
    new.write_text("create table public.notes (id uuid primary key);")
    assert new.name in supabase("db", "push", "--dry-run", *remote).stderr
    supabase("db", "push", "--yes", *remote)
    assert new.name.split("_")[0] in applied(bare_service_url)
    assert security_findings(supabase, bare_service_url) == ["rls_disabled_in_public"]


def test_a_reset_leaves_our_schema_and_no_rows(bare_service_url: str, supabase: Supabase) -> None:
    remote = ("--db-url", bare_service_url)
    supabase("db", "push", "--yes", *remote)
    with psycopg.connect(bare_service_url) as connection:
        connection.execute("insert into auth.users (email) values ('gone@example.org')")
        connection.execute("create table stray (id integer)")
    supabase("db", "reset", "--yes", *remote)
    with psycopg.connect(bare_service_url) as connection:
        left = "select (select count(*) from sessions), to_regclass('stray'), auth.uid(), count(*) from auth.users"
        assert connection.execute(left).fetchone() == (0, None, None, 0)
