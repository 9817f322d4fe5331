"""What the worker does for source maps."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from procrastinate import Blueprint, JobContext

from opsbook.core.access import SYSTEM
from opsbook.core.audit import acting
from opsbook.core.jobs import settings_of
from opsbook.core.postgres.connect import connect
from opsbook.debugging.sourcemaps import store

KEPT: Final = timedelta(days=90)
"""Since a map was last used."""

blueprint = Blueprint()


@blueprint.periodic(cron="23 * * * *")
@blueprint.task(queueing_lock="sourcemaps:tidy_source_maps", pass_context=True)
async def tidy_source_maps(context: JobContext, timestamp: int) -> None:
    """Drop maps that nothing asked for in a long time, and uploads that were given up."""
    url = settings_of(context).require_url("ops")
    reason = f"not used for {KEPT.days} days"
    async with connect(url, "opsbook worker") as connection, acting(connection, SYSTEM, reason) as acted:
        await store.tidy(acted, KEPT)
