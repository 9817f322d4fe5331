"""What the worker does for check-ins."""

from __future__ import annotations

from datetime import UTC, datetime

from procrastinate import Blueprint, JobContext

from opsbook.core.jobs import settings_of
from opsbook.core.postgres.connect import connect
from opsbook.debugging.checkins import recording, store

blueprint = Blueprint()


@blueprint.periodic(cron="* * * * *")
@blueprint.task(queueing_lock="check_ins:find_overdue", pass_context=True)
async def find_overdue(context: JobContext, timestamp: int) -> None:
    """Write down what did not begin, and what goes on for too long."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await recording.find_overdue(connection, datetime.now(UTC))


@blueprint.periodic(cron="47 3 * * *")
@blueprint.task(queueing_lock="check_ins:tidy", pass_context=True)
async def tidy(context: JobContext, timestamp: int) -> None:
    """Forget old runs."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await store.tidy(connection)
