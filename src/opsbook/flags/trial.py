"""Who would be in a flag: a context that a person tries, and each step of its evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opsbook.core.errors import Invalid
from opsbook.core.postgres.connect import Connection
from opsbook.flags import store
from opsbook.flags.conditions import read_context
from opsbook.flags.explanation import Explanation, explain


@dataclass(frozen=True, slots=True)
class Trial:
    """What was tried, as it was typed, and what came of it."""

    key: str
    fields: str
    """One `FIELD=VALUE` a line."""
    found: Explanation | None
    """None where nothing was tried, or it could not be."""
    error: str | None = None


async def read_trial(connection: Connection, name: str, query: Mapping[str, str]) -> Trial:
    """Try the context that a page's address carries on a flag that exists."""
    key, fields = query.get("key", ""), query.get("context", "")
    if "key" not in query and "context" not in query:
        return Trial(key, fields, None)
    try:
        context = read_context(key.strip() or None, [line.strip() for line in fields.splitlines() if line.strip()])
    except Invalid as error:
        return Trial(key, fields, None, str(error))
    flags = (await store.snapshot(connection)).flags
    return Trial(key, fields, explain(flags[name], context, flags) if name in flags else None)
