"""What lives while a server does: reports of its pool, and a word about poolers that will not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opsbook.core.errors import OpsbookError
from opsbook.core.log import get_logger
from opsbook.core.metrics import measures
from opsbook.core.runtime import Runtime
from opsbook.core.settings import Database
from opsbook.database.pool.meter import PoolMeter
from opsbook.database.pool.metrics import pool_metrics
from opsbook.database.pool.pooler import BROKEN_BY_TRANSACTION_MODE, Mode, Pooler, recognise
from opsbook.database.pool.report import PoolReporter

_AGAIN_AFTER_SECONDS = 30.0

log = get_logger(__name__)

measures("pool")(pool_metrics)


@dataclass(slots=True)
class Poolers:
    """What stands before each database, as far as this process has found out."""

    found: dict[Database, Pooler] = field(default_factory=dict)


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[None]:
    """Report the pool that was given to `install`, if one was, and look for poolers."""
    reporter = _reporter(runtime)
    poolers = Poolers()
    runtime.put(poolers)
    looking = [asyncio.create_task(_look(runtime, which, poolers)) for which in ("service", "ops")]
    if reporter:
        reporter.start()
    try:
        yield
    finally:
        for task in looking:
            task.cancel()
        if reporter:
            await asyncio.to_thread(reporter.stop)


def _reporter(runtime: Runtime) -> PoolReporter | None:
    try:
        return PoolReporter(runtime.get(PoolMeter), runtime.settings.require_url("ops"))
    except KeyError:
        return None


async def _look(runtime: Runtime, which: Database, poolers: Poolers) -> None:
    """Find out once what stands before a database, however long it is away; say so where that will not do."""
    url = runtime.settings.url_of(which)
    while url is not None:
        try:
            found = await recognise(url)
        except OpsbookError:
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)
            continue
        if found:
            poolers.found[which] = found
            _warn(which, found)
        return


def _warn(which: Database, found: Pooler) -> None:
    if found.mode is not Mode.TRANSACTION:
        return
    if which == "ops":
        log.warning(
            "ops_database_behind_transaction_pooler",
            pooler=str(found),
            broken="LISTEN and session settings: levers will not be heard of in time, or not work at all",
            remedy="let OPSBOOK_DATABASE_URL lead to the server itself, or to a pooler in session mode",
        )
    else:
        log.info(
            "service_database_behind_transaction_pooler", pooler=str(found), not_to_be_used=BROKEN_BY_TRANSACTION_MODE
        )
