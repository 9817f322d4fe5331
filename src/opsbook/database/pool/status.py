"""How full a connection pool is, in the runbook's terms, for SQLAlchemy's pools and psycopg's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

UNLIMITED = -1
"""As `max_overflow`: the pool opens as many connections as are asked for (SQLAlchemy's own convention)."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """Connections of a pool, counted."""

    pool_size: int
    """Connections that the pool keeps."""
    max_overflow: int
    """Connections that it may open beyond those; -1 when there is no limit."""
    checked_out: int
    checked_in: int
    overflow: int
    """Connections that are open beyond `pool_size` now."""

    @property
    def capacity(self) -> int | None:
        """The most connections that can be out at once; None when there is no limit."""
        return None if self.max_overflow == UNLIMITED else self.pool_size + self.max_overflow

    @property
    def utilization(self) -> float | None:
        """The share of the capacity that is out, from 0 to 1; None when there is no limit."""
        return min(1.0, self.checked_out / self.capacity) if self.capacity else None

    @property
    def exhausted(self) -> bool:
        """Whether the next one who asks must wait: the runbook's alert, `checked_out >= pool_size + max_overflow`."""
        return self.capacity is not None and self.checked_out >= self.capacity

    def as_dict(self) -> dict[str, int | float | bool | None]:
        """The figures and what follows from them, as `/api/monitoring/health` gives them."""
        return asdict(self) | {
            "capacity": self.capacity,
            "utilization": None if self.utilization is None else round(self.utilization, 4),
            "exhausted": self.exhausted,
        }


def pool_status(pool: object) -> PoolStatus | None:
    """How full a pool is now. Reads counters in memory; never waits, opens nothing.

    Args:
        pool: An SQLAlchemy pool, `Engine` or `AsyncEngine`, or a psycopg_pool pool, sync or async.

    Returns:
        None for a pool that keeps no count: SQLAlchemy's NullPool, StaticPool and their like.

    Raises:
        TypeError: It is none of these.
    """
    # Told apart by their public methods, so that neither library is imported on behalf of the other's users.
    engine = getattr(pool, "sync_engine", pool)
    counted = getattr(engine, "pool", engine)
    if hasattr(counted, "checkedout"):
        return _sqlalchemy(counted)
    if hasattr(counted, "get_stats"):
        return _psycopg(counted)
    if hasattr(counted, "dispose") and hasattr(counted, "status"):
        return None
    raise TypeError(f"{type(pool).__name__} is not a connection pool or an engine of SQLAlchemy or psycopg_pool")


def _sqlalchemy(pool: Any) -> PoolStatus:
    # QueuePool tells its overflow relative to its size (negative while it is still filling) and its limit not at all.
    return PoolStatus(
        pool_size=pool.size(),
        max_overflow=max(UNLIMITED, pool._max_overflow),
        checked_out=pool.checkedout(),
        checked_in=pool.checkedin(),
        overflow=max(0, pool.overflow()) if pool.size() else 0,
    )


def _psycopg(pool: Any) -> PoolStatus:
    # A connection that is being opened counts as out: nobody else can have it, and it takes its place.
    stats = pool.get_stats()
    kept, limit = stats["pool_min"], stats["pool_max"]
    there, idle = stats["pool_size"], stats["pool_available"]
    return PoolStatus(
        pool_size=kept,
        max_overflow=limit - kept if limit else UNLIMITED,
        checked_out=max(0, there - idle),
        checked_in=idle,
        overflow=max(0, there - kept),
    )
