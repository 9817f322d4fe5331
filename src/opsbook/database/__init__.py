"""Database Operations: the service database's pool, migrations and partitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsbook.core.chapter import Chapter, Command

if TYPE_CHECKING:
    from opsbook.database.migrations import Migration
    from opsbook.database.pool.chart import pool_chart
    from opsbook.database.pool.exhaustion import answer_exhaustion
    from opsbook.database.pool.instrument import metered
    from opsbook.database.pool.meter import PoolMeter
    from opsbook.database.pool.overview import PoolOverview, pool_overview, service_database
    from opsbook.database.pool.status import PoolStatus, pool_status

__all__ = [
    "CHAPTER",
    "PoolMeter",
    "PoolOverview",
    "PoolStatus",
    "answer_exhaustion",
    "metered",
    "pending_migrations",
    "pool_chart",
    "pool_overview",
    "pool_status",
    "service_database",
]

CHAPTER = Chapter(
    name="database",
    title="Database Operations",
    commands={"db": Command("opsbook.database.commands:app", "Look after the database: its connection pools.")},
    api="opsbook.database.pool.api:router",
    pages="opsbook.database.pool.pages:router",
    page="/database/pool",
    running="opsbook.database.pool.service:running",
    jobs="opsbook.database.jobs:blueprint",
)

_HOMES = {
    "PoolMeter": "opsbook.database.pool.meter",
    "PoolOverview": "opsbook.database.pool.overview",
    "PoolStatus": "opsbook.database.pool.status",
    "answer_exhaustion": "opsbook.database.pool.exhaustion",
    "metered": "opsbook.database.pool.instrument",
    "pool_chart": "opsbook.database.pool.chart",
    "pool_overview": "opsbook.database.pool.overview",
    "pool_status": "opsbook.database.pool.status",
    "service_database": "opsbook.database.pool.overview",
}


def pending_migrations(url: str, folder: Path) -> Sequence[Migration]:
    """The migrations of a folder that the database of that address does not have yet.

    Raises:
        Unavailable: The database does not answer.
    """
    from opsbook.database.migrations import pending

    return pending(url, folder)


def __getattr__(name: str) -> Any:
    # Loaded when used: listing the chapters must not cost a database driver.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
