"""Background work of the performance chapter."""

from __future__ import annotations

from procrastinate import Blueprint, JobContext

from opsbook.core.access import SYSTEM
from opsbook.core.audit import acting
from opsbook.core.jobs import settings_of
from opsbook.core.postgres.connect import connect
from opsbook.performance.blocks import store as blocks
from opsbook.performance.blocks.firewalls.push import push_blocks
from opsbook.performance.cache import store as cache
from opsbook.performance.limits import store as limits

blueprint = Blueprint()


@blueprint.periodic(cron="* * * * *")
@blueprint.task(queueing_lock="performance:reset_limits", pass_context=True)
async def reset_limits(context: JobContext, timestamp: int) -> None:
    """Reset the rate limits whose time is over; every process went back at that moment. Forget old counts."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await limits.reset_over(connection)
        await limits.tidy(connection)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(queueing_lock="performance:end_blocks", pass_context=True)
async def end_blocks(context: JobContext, timestamp: int) -> None:
    """Lift the address blocks whose time is over; every process stopped obeying them at that moment."""
    url = settings_of(context).require_url("ops")
    async with (
        connect(url, "opsbook worker") as connection,
        acting(connection, SYSTEM, "its time was over: it went back by itself") as acted,
    ):
        await blocks.remove_expired(acted)


# Every ten seconds: the sixth field.
@blueprint.periodic(cron="* * * * * */10")
@blueprint.task(queueing_lock="performance:push_blocks", pass_context=True)
async def push_to_firewall(context: JobContext, timestamp: int) -> None:
    """Tell the front end's firewall, where one is configured; what failed is tried again the next time."""
    settings = settings_of(context)
    async with connect(settings.require_url("ops"), "opsbook worker") as connection:
        await push_blocks(connection, settings)


@blueprint.periodic(cron="47 3 * * *")
@blueprint.task(queueing_lock="performance:forget_removed_blocks", pass_context=True)
async def forget_removed_blocks(context: JobContext, timestamp: int) -> None:
    """Forget blocks that were lifted long ago."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await blocks.forget_removals(connection)


@blueprint.periodic(cron="57 3 * * *")
@blueprint.task(queueing_lock="performance:tidy_cache", pass_context=True)
async def tidy_cache(context: JobContext, timestamp: int) -> None:
    """Forget old purges and processes that are gone; fold old statistics."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await cache.tidy(connection)
