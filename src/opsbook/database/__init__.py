"""Database Operations: the service database's migrations and partitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsbook.core.chapter import Chapter

if TYPE_CHECKING:
    from opsbook.database.migrations import Migration

CHAPTER = Chapter(name="database", title="Database Operations", jobs="opsbook.database.jobs:blueprint")


def pending_migrations(url: str, folder: Path) -> Sequence[Migration]:
    """The migrations of a folder that the database of that address does not have yet.

    Raises:
        Unavailable: The database does not answer.
    """
    from opsbook.database.migrations import pending

    return pending(url, folder)
