"""What the worker does for the logs."""

from __future__ import annotations

from procrastinate import Blueprint, JobContext

from opsbook.core.access import SYSTEM
from opsbook.core.audit import acting
from opsbook.core.jobs import settings_of
from opsbook.core.postgres.connect import connect
from opsbook.debugging.logs import store

blueprint = Blueprint()


@blueprint.periodic(cron="* * * * *")
@blueprint.task(queueing_lock="logs:end_levels", pass_context=True)
async def end_levels(context: JobContext, timestamp: int) -> None:
    """Note in the audit which levels went back by themselves."""
    url = settings_of(context).require_url("ops")
    async with connect(url, "opsbook worker") as connection, acting(connection, SYSTEM, "its time was over") as acted:
        await store.end_due_levels(acted)


@blueprint.periodic(cron="47 3 * * *")
@blueprint.task(queueing_lock="logs:tidy_logs", pass_context=True)
async def tidy_logs(context: JobContext, timestamp: int) -> None:
    """Make the coming days' partitions; drop the days that are kept no longer."""
    settings = settings_of(context)
    async with connect(settings.require_url("ops"), "opsbook worker") as connection:
        await store.tidy(connection, settings.logs_kept_days)
