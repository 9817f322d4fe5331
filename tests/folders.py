"""Folders for databases that are gone after the test: in memory where possible, open to any account."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that any account may enter; pytest's own may only be entered by its maker."""
    made = Path(tempfile.mkdtemp(prefix="opsbook-test-", dir=_MEMORY if _MEMORY.is_dir() else None))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)
