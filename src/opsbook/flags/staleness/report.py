"""Which flags have had their day: expired, the same for everybody for long, or asked for by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.flags import store
from opsbook.flags.evaluation import CompiledFlag
from opsbook.flags.exposures.store import last_evaluated

_QUERIES = load_queries("opsbook.flags.staleness")
_TOLD = ["description", "owner", "tags", "expires_at", "revision", "created_at", "updated_at"]
"""Fields that tell people something and decide nothing."""


@dataclass(frozen=True, slots=True)
class StaleFlag:
    """A flag that should be looked at, and why."""

    name: str
    owner: str | None
    reasons: Sequence[str]
    last_evaluated: datetime | None
    last_changed: datetime
    """In what it decides."""


async def stale_flags(connection: Connection, days: int) -> Sequence[StaleFlag]:
    """Flags that have been one of these for `days`: on or off for everybody, asked for by nobody; or that expired.

    Archived flags are none of them. That nobody asks is known once evaluations have been counted for so long.
    """
    since = datetime.now(UTC) - timedelta(days=days)
    snapshot = await store.snapshot(connection)
    evaluated = await last_evaluated(connection)
    rows = await (await connection.execute(_QUERIES["decided"], {"told": _TOLD})).fetchall()
    decided: dict[str, datetime] = {row["name"]: row["decided_at"] for row in rows}
    row = await (await connection.execute(_QUERIES["counting_since"])).fetchone()
    counted = row is not None and row["applied_at"] <= since
    found: list[StaleFlag] = []
    for name, compiled in snapshot.flags.items():
        if compiled.flag.archived_at is not None:
            continue
        seen, changed = evaluated.get(name), decided[name]
        reasons = [*_reasons(compiled, changed, since)]
        if counted and changed <= since and (seen is None or seen <= since):
            reasons.append("nobody asks for it" if seen else "nobody has ever asked for it")
        if reasons:
            found.append(StaleFlag(name, compiled.flag.owner, reasons, seen, changed))
    return found


def _reasons(compiled: CompiledFlag, changed: datetime, since: datetime) -> Iterator[str]:
    flag = compiled.flag
    if flag.expires_at is not None and flag.expires_at <= datetime.now(UTC):
        yield f"it expired on {flag.expires_at:%Y-%m-%d}"
    if compiled.fixed is not None and changed <= since:
        state = "killed" if flag.kill_switch else "on for everybody" if compiled.fixed.enabled else "off"
        yield f"it has been {state} since {changed:%Y-%m-%d}"
