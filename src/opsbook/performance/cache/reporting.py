"""A process's reports to the ops database: what it counted, what it holds, and what the others are to forget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import psycopg
from psycopg.types.json import Jsonb

from opsbook.core.postgres.connect import guarded, parameters
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.statistics import Counts
from opsbook.performance.cache.store import QUERIES

if TYPE_CHECKING:
    from opsbook.performance.cache.function import CachedFunction


def report(url: str, process: str, functions: Sequence[CachedFunction], purges: Sequence[Purge]) -> None:
    """Write all of it in one transaction, and take note that it is written.

    Raises:
        psycopg.Error: It could not be written; nothing was.
    """
    counted = [(function, function.counts.copy()) for function in functions]
    news = [(function, counts.since(function.reported)) for function, counts in counted]
    counts = [{"function": function.name, **asdict(new)} for function, new in news if new != Counts()]
    memory = [{"function": f.name, "entries": len(f.memory), "bytes": f.memory.size} for f in functions]
    with psycopg.connect(guarded(url), **parameters("opsbook cache")) as connection:
        for purge in purges:
            given = {"kind": purge.kind, "target": purge.target, "digest": purge.digest, "origin": "service"}
            connection.execute(QUERIES["purge"], given)
        if counts:
            connection.execute(QUERIES["add_statistics"], {"counts": Jsonb(counts)})
        connection.execute(QUERIES["put_memory"], {"process": process, "memory": Jsonb(memory)})
    for function, seen in counted:
        function.reported = seen
