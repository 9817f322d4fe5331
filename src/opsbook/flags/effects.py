"""Which changes of flags made a difference to somebody, judged by their key alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import DictRow

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.flags import store
from opsbook.flags.evaluation import evaluate
from opsbook.flags.model import flag_decoded
from opsbook.flags.snapshot import Snapshot

MOST_LOOKED_AT: Final = 2_000
"""Changes judged for one answer, some 0.1 ms each; older ones are left out."""
_QUERIES: Final = load_queries("opsbook.flags")


@dataclass(frozen=True, slots=True)
class FlagEffect:
    """A change after which a flag was something else for somebody."""

    at: datetime
    revision: int
    flag: str
    before: str
    """`off`, `on`, or the variant's name."""
    after: str
    actor: str
    reason: str | None


async def effects_on(
    connection: Connection,
    targeting_key: str,
    *,
    since: datetime,
    until: datetime,
    below: int | None = None,
    inclusive: bool = False,
    limit: int = 100,
) -> Sequence[FlagEffect]:
    """The changes between two moments that made a difference to a key, the newest first.

    Args:
        connection: To the ops database.
        targeting_key: Whom the flags are asked for; rules on other fields find nothing.
        since: The first moment.
        until: The moment before which they lie.
        below: Of those at `until` itself, revisions below this one belong to them, too.
        inclusive: All of those at `until` do.
        limit: As many at most.
    """
    parameters = {
        "since": since,
        "until": until,
        "below": below,
        "inclusive": inclusive,
        "limit": MOST_LOOKED_AT,
    }
    rows = await (await connection.execute(_QUERIES["changes_between"], parameters)).fetchall()
    if not rows:
        return ()
    snapshot = await store.snapshot(connection)
    effects: list[FlagEffect] = []
    for row in rows:
        effect = _effect(row, {"targetingKey": targeting_key}, snapshot)
        if effect.before != effect.after:
            effects.append(effect)
            if len(effects) == limit:
                break
    return effects


def _effect(row: DictRow, context: Mapping[str, Any], snapshot: Snapshot) -> FlagEffect:
    before, after = (_value(row["name"], row[state], context, snapshot) for state in ("before", "after"))
    return FlagEffect(row["changed_at"], row["revision"], row["name"], before, after, row["actor"], row["reason"])


def _value(name: str, state: str | None, context: Mapping[str, Any], snapshot: Snapshot) -> str:
    """What a flag was in a state: of its prerequisites today's states count."""
    if state is None:
        return "off"
    flag = flag_decoded(name, state)
    compiled = Snapshot.of(flag.revision, [flag], snapshot.segments.values()).flags[name]
    found = evaluate(compiled, context, snapshot.flags)
    return (found.variant or "on") if found.enabled else "off"
