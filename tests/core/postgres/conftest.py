"""Folders and clusters for the tests of embedded Postgres."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsbook.core.postgres.cluster import EmbeddedPostgres


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any account may enter; pytest's own may only be entered by its maker."""
    with _open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Clusters that a module's tests share; a test that stops them starts them again."""
    with _open_folder() as made:
        shared = EmbeddedPostgres(made / "home")
        shared.start()
        yield shared
        shared.stop()


@contextmanager
def _open_folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="opsbook-test-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)
