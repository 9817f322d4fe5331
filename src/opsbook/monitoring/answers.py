"""How a report reads as JSON: the same from the API and from `opsbook health --json`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel

from opsbook.monitoring.health import Overall, Report, Result, Status

Connected = Literal["connected", "disconnected", "not_configured"]


class Health(BaseModel):
    """The verdict, and the two things that a service of this kind stands on."""

    status: Overall
    database: Connected
    supabase: Connected
    timestamp: datetime

    @classmethod
    def of(cls, report: Report) -> Self:
        return cls(
            status=report.status,
            database=_connected(report.status_of("database")),
            supabase=_connected(report.status_of("supabase")),
            timestamp=report.timestamp,
        )


class CheckHealth(BaseModel):
    """One check's last result; nulls where it has never run."""

    name: str
    status: Status
    critical: bool
    latency_ms: float | None
    age_ms: float | None
    detail: str | None = None
    """Error texts, versions, counts: for an authenticated caller only."""


class PoolHealth(BaseModel):
    """The service's connection pool; `capacity` and `utilization` are null where it has no limit."""

    pool_size: int
    max_overflow: int
    checked_out: int
    checked_in: int
    overflow: int
    capacity: int | None
    utilization: float | None
    exhausted: bool


class DetailedHealth(Health):
    """The verdict with every check, and the connection pool where there is one."""

    checks: list[CheckHealth]
    pool: PoolHealth | None

    @classmethod
    def of(cls, report: Report) -> Self:
        return cls(
            **dict(Health.of(report)),
            checks=[_check(result) for result in report.checks],
            pool=PoolHealth.model_validate(report.pool.as_dict()) if report.pool else None,
        )

    def json_for(self, *, authenticated: bool) -> str:
        """The JSON for a caller; the details are left out for one that is not known."""
        return self.model_dump_json(exclude=None if authenticated else {"checks": {"__all__": {"detail"}}})


def _check(result: Result) -> CheckHealth:
    return CheckHealth(
        name=result.name,
        status=result.status,
        critical=result.critical,
        latency_ms=_milliseconds(result.latency_seconds),
        age_ms=_milliseconds(result.age_seconds),
        detail=result.detail,
    )


def _connected(status: Status) -> Connected:
    if status is Status.NOT_CONFIGURED:
        return "not_configured"
    return "disconnected" if status is Status.DOWN else "connected"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
