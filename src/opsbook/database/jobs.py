"""Periodic work: the service database's coming partitions, and what is old of the pools' reports."""

from __future__ import annotations

import psycopg
from procrastinate import Blueprint, JobContext, RetryStrategy

from opsbook.core.jobs import settings_of
from opsbook.core.postgres.connect import connect, guarded
from opsbook.core.queries import load_queries
from opsbook.database.pool import store as pool_store

_QUERIES = load_queries("opsbook.database")
_PATIENCE = "-c lock_timeout=3s -c statement_timeout=60s"
"""Whoever waits for a table's lock holds up everybody behind; better to give way and come again."""

blueprint = Blueprint()


@blueprint.periodic(cron="27 3 * * *")
@blueprint.task(
    queueing_lock="database:make_event_partitions", retry=RetryStrategy(max_attempts=6, wait=60), pass_context=True
)
def make_event_partitions(context: JobContext, timestamp: int) -> None:
    """Let the service make the coming months' partitions, where it has a function for that."""
    url = settings_of(context).url_of("service")
    if url is None:
        return
    with psycopg.connect(
        guarded(url), autocommit=True, application_name="opsbook worker", connect_timeout=5, options=_PATIENCE
    ) as connection:
        found = connection.execute(_QUERIES["find_partition_maker"]).fetchone()
        if found and found[0]:
            connection.execute(_QUERIES["make_event_partitions"])


@blueprint.periodic(cron="47 * * * *")
@blueprint.task(queueing_lock="database:forget_vanished_pools", pass_context=True)
async def forget_vanished_pools(context: JobContext, timestamp: int) -> None:
    """Forget the processes that ended without a word."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await pool_store.forget_vanished(connection)


@blueprint.periodic(cron="57 3 * * *")
@blueprint.task(queueing_lock="database:tidy_pool_samples", pass_context=True)
async def tidy_pool_samples(context: JobContext, timestamp: int) -> None:
    """Make the coming days' partitions of the pools' samples; forget old days."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await pool_store.tidy(connection)
