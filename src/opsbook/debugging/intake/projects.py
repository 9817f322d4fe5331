"""Which keys may send to which projects, held in memory and read anew when one changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
import psycopg
from psycopg.rows import class_row
from psycopg_pool import PoolTimeout

from opsbook.core.bus import Bus, SyncConnection
from opsbook.core.deadline import within
from opsbook.core.errors import Unavailable
from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import Pool
from opsbook.core.queries import load_queries
from opsbook.debugging.intake.refusals import Away, UnknownKey

TOPIC: Final = "errors"
_QUERIES: Final = load_queries("opsbook.debugging.intake")
_RETRY_SECONDS: Final = 5
_PATIENCE_SECONDS: Final = 2.0

log = get_logger(__name__)


class Project(msgspec.Struct, frozen=True):
    """Who may send, as one of its keys finds it."""

    public_key: str
    project_id: int
    is_disabled: bool
    events_per_minute: int | None
    events_per_hour: int | None
    events_per_day: int | None
    megabytes_per_day: int | None

    @property
    def has_quota(self) -> bool:
        """Whether it may send only so much."""
        quotas = self.events_per_minute, self.events_per_hour, self.events_per_day, self.megabytes_per_day
        return any(quota is not None for quota in quotas)


class Projects:
    """Every key. What was known last is used while the database is away."""

    def __init__(self, bus: Bus) -> None:
        self._by_key: Mapping[str, Project] | None = None
        self._with_quota: frozenset[int] = frozenset()
        self.forget = bus.subscribe(TOPIC, self._read)

    def find(self, project_id: int, key: str) -> Project:
        """The project that a key may send to.

        Raises:
            UnknownKey: No such project, or not by this key.
            Away: The keys could not be read yet.
        """
        if self._by_key is None:
            raise Away(_RETRY_SECONDS)
        found = self._by_key.get(key)
        if found is None or found.project_id != project_id:
            raise UnknownKey(f"project {project_id} does not know this key; `opsbook errors key list` shows its keys")
        if found.is_disabled:
            raise UnknownKey("this key is disabled")
        return found

    def is_ours(self, key: str) -> bool:
        """Whether a DSN with this key leads here."""
        return self._by_key is not None and key in self._by_key

    def has_quota(self, project_id: int) -> bool:
        """Whether the project may send only so much."""
        return project_id in self._with_quota

    async def load(self, pool: Pool) -> None:
        """Read the keys now, at the start; where the database is away, the bus brings them once it is back."""
        try:
            await within(_PATIENCE_SECONDS, self._load(pool))
        except (psycopg.Error, PoolTimeout, Unavailable) as error:
            log.warning("project_keys_not_read", error=type(error).__name__)

    async def _load(self, pool: Pool) -> None:
        async with pool.connection() as connection, connection.cursor(row_factory=class_row(Project)) as cursor:
            self._take(await (await cursor.execute(_QUERIES["keys"])).fetchall())

    def _read(self, connection: SyncConnection, _: int) -> None:
        self._take(connection.cursor(row_factory=class_row(Project)).execute(_QUERIES["keys"]).fetchall())

    def _take(self, projects: Sequence[Project]) -> None:
        self._with_quota = frozenset(project.project_id for project in projects if project.has_quota)
        self._by_key = MappingProxyType({project.public_key: project for project in projects})
