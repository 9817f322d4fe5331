"""Background and periodic work on procrastinate: jobs in the ops database, no broker.

The worker's tables live in the schema `opsbook` beside ours. Chapters bring their tasks as a
procrastinate `Blueprint`; any number of workers may run, and each period is run by one.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable
from copy import deepcopy

from procrastinate import App, Blueprint, JobContext, PsycopgConnector
from procrastinate.worker import Worker
from psycopg import AsyncConnection

from opsbook.core import audit
from opsbook.core.access import SYSTEM, store
from opsbook.core.audit import acting
from opsbook.core.chapter import Chapter
from opsbook.core.postgres.connect import connect, guarded, parameters
from opsbook.core.settings import Settings

_MONTHS_AHEAD = 12

housekeeping = Blueprint()


def job_app(ops_url: str, chapters: Iterable[Chapter]) -> App:
    """The procrastinate app of one process, with every chapter's tasks; not yet open."""
    connector = PsycopgConnector(
        conninfo=guarded(ops_url),
        kwargs=parameters("opsbook worker"),
        connection_class=AsyncConnection,
        min_size=1,
        max_size=6,
    )
    app = App(connector=connector)
    # Copies: procrastinate renames the tasks that it is given, and each further app would add its prefix to the last.
    app.add_tasks_from(deepcopy(housekeeping), namespace="core")
    for chapter in chapters:
        if blueprint := chapter.blueprint():
            app.add_tasks_from(deepcopy(blueprint), namespace=chapter.name)
    return app


async def run_worker(settings: Settings, chapters: Iterable[Chapter]) -> None:
    """Run jobs until SIGINT or SIGTERM; tasks find the settings in their context.

    Raises:
        NotConfigured: No ops database is known.
    """
    app = job_app(settings.require_url("ops"), chapters)
    worker = Worker(
        app,
        name="opsbook",
        concurrency=4,
        delete_jobs="successful",
        shutdown_graceful_timeout=5,
        additional_context={"settings": settings},
        # Its own handlers come only after it has registered: a stop in between would end the process on the spot.
        install_signal_handlers=False,
    )
    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        worker.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with app.open_async():
        if not stopping.is_set():  # which the worker forgets when it begins
            await worker.run()


def settings_of(context: JobContext) -> Settings:
    """The settings that the worker was started with."""
    settings = context.additional_context["settings"]
    assert isinstance(settings, Settings)
    return settings


@housekeeping.periodic(cron="* * * * *")
@housekeeping.task(queueing_lock="core:seal_audit", pass_context=True)
async def seal_audit(context: JobContext, timestamp: int) -> None:
    """Chain the minute's audit records."""
    async with connect(settings_of(context).require_url("ops"), "opsbook worker") as connection:
        await audit.seal(connection)


@housekeeping.periodic(cron="7 3 * * *")
@housekeeping.task(queueing_lock="core:make_partitions", pass_context=True)
async def make_partitions(context: JobContext, timestamp: int) -> None:
    """Make the coming months' partitions; apart from `tidy`, since writers of the audit wait until it commits."""
    url = settings_of(context).require_url("ops")
    async with connect(url, "opsbook worker") as connection, acting(connection, SYSTEM) as acted:
        await audit.make_partitions(acted, _MONTHS_AHEAD)


@housekeeping.periodic(cron="17 3 * * *")
@housekeeping.task(queueing_lock="core:tidy", pass_context=True)
async def tidy(context: JobContext, timestamp: int) -> None:
    """Drop ended sessions, old failures and used-up links."""
    url = settings_of(context).require_url("ops")
    async with connect(url, "opsbook worker") as connection, acting(connection, SYSTEM) as acted:
        await store.tidy(acted)
