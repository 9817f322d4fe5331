"""Folders and clusters for the tests of embedded Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.core.postgres.cluster import EmbeddedPostgres
from tests.folders import open_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any account may enter; pytest's own may only be entered by its maker."""
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Clusters that a module's tests share; a test that stops them starts them again."""
    with open_folder() as made:
        shared = EmbeddedPostgres(made / "home")
        shared.start()
        yield shared
        shared.stop()
