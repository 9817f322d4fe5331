"""Fixtures of the health tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.chapters import CHAPTERS
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.schema import apply_schema
from tests.monitoring.stage import Databases


@pytest.fixture(scope="package")
def databases() -> Iterator[Databases]:
    """Clusters of their own, because these tests stop and kill them."""
    folder = Path(tempfile.mkdtemp(prefix="opsbook-health-"))
    folder.chmod(0o755)
    with EmbeddedPostgres(folder / "home") as postgres:
        both = Databases(postgres)
        apply_schema(both.urls["ops"], CHAPTERS)
        yield both
        both.thaw()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def calm(databases: Databases) -> Iterator[Databases]:
    """The databases; whatever a test did to them is undone after it."""
    yield databases
    databases.thaw()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from this project's own migrations and `.env`."""
    monkeypatch.chdir(tmp_path)
