"""What the worker does for the flags."""

from __future__ import annotations

from procrastinate import Blueprint, JobContext

from opsbook.core.jobs import settings_of
from opsbook.core.postgres.connect import connect
from opsbook.flags.exposures import store as exposures
from opsbook.flags.readers import store as readers
from opsbook.flags.schedules import store as schedules
from opsbook.flags.webhooks import store as webhooks

blueprint = Blueprint()


@blueprint.periodic(cron="* * * * *")
@blueprint.task(queueing_lock="flags:run_schedules", pass_context=True)
async def run_schedules(context: JobContext, timestamp: int) -> None:
    """Take the steps of schedules that are due."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await schedules.run_due(connection)


# Every ten seconds: the sixth field.
@blueprint.periodic(cron="* * * * * */10")
@blueprint.task(queueing_lock="flags:deliver_webhooks", pass_context=True)
async def deliver_webhooks(context: JobContext, timestamp: int) -> None:
    """Post the change notices that are due."""
    settings = settings_of(context)
    async with connect(settings.require_url("ops"), "opsbook worker") as connection:
        await webhooks.deliver_due(connection, loopback=settings.webhooks_to_loopback)


@blueprint.periodic(cron="27 3 * * *")
@blueprint.task(queueing_lock="flags:tidy_exposures", pass_context=True)
async def tidy_exposures(context: JobContext, timestamp: int) -> None:
    """Make the coming months' partitions of the exposure counts; forget old months."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await exposures.tidy(connection)


@blueprint.periodic(cron="57 * * * *")
@blueprint.task(queueing_lock="flags:tidy_readers", pass_context=True)
async def tidy_readers(context: JobContext, timestamp: int) -> None:
    """Forget processes that no longer follow the flags."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await readers.tidy(connection)


@blueprint.periodic(cron="37 3 * * *")
@blueprint.task(queueing_lock="flags:tidy_webhooks", pass_context=True)
async def tidy_webhooks(context: JobContext, timestamp: int) -> None:
    """Forget old notices; apart from the counts, so that neither stops the other."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await webhooks.tidy(connection)
