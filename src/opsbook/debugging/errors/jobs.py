"""What the worker does for errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from procrastinate import Blueprint, JobContext

from opsbook.core.jobs import settings_of
from opsbook.core.postgres.connect import connect
from opsbook.core.queries import load_queries
from opsbook.debugging.errors.counting import count_pending
from opsbook.debugging.errors.dictionaries import train_due
from opsbook.debugging.errors.retention import forget_quiet

blueprint = Blueprint()
DAYS_AHEAD: Final = 14
COUNTS_KEPT: Final = timedelta(days=90)
_QUERIES: Final = load_queries("opsbook.debugging.errors")


@blueprint.periodic(cron="42 * * * *")
@blueprint.task(queueing_lock="errors:tidy", pass_context=True)
async def tidy(context: JobContext, timestamp: int) -> None:
    """Make the coming days' partitions; drop what is older than it is kept, and what no event is left of."""
    settings = settings_of(context)
    async with connect(settings.require_url("ops"), "opsbook worker") as connection:
        await connection.execute(_QUERIES["make_partitions"], {"days": DAYS_AHEAD})
        await connection.execute(_QUERIES["drop_old_days"], {"days": settings.errors_kept_days})
        await connection.execute(_QUERIES["drop_dictionaries"], {"days": settings.errors_kept_days})
        await connection.execute(_QUERIES["tidy"], {"kept": COUNTS_KEPT, "days": settings.errors_kept_days})
        await forget_quiet(connection, settings.errors_kept_days)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(queueing_lock="errors:count_pending", pass_context=True)
async def count_what_is_pending(context: JobContext, timestamp: int) -> None:
    """Count what a process that was killed had to leave pending."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await count_pending(connection)


@blueprint.periodic(cron="*/10 * * * *")
@blueprint.task(queueing_lock="errors:train_dictionaries", pass_context=True)
async def train_dictionaries(context: JobContext, timestamp: int) -> None:
    """Learn what the events of each project have in common, so that they take half the room."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await train_due(connection)
