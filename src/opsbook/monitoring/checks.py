"""The checks that every Opsbook process makes: databases, migrations, worker, Redis, Supabase."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from opsbook.core.errors import Unavailable
from opsbook.core.settings import Database, Settings
from opsbook.database import pending_migrations
from opsbook.monitoring import store
from opsbook.monitoring.health import CheckFunction, Finding, Status
from opsbook.monitoring.monitor import AnyCheckFunction, HealthMonitor
from opsbook.monitoring.probe import DatabaseProbe

if TYPE_CHECKING:
    import httpx
    from redis.asyncio import Redis

MIGRATIONS_FOLDER = Path("supabase/migrations")
"""Where the Supabase CLI keeps a project's migrations, below the working folder or, as it looks itself, above it."""

WORKER_SILENCE_SECONDS = 30.0
"""A worker beats every 10 s; procrastinate, too, counts one as stalled after 30 s of silence."""

_DATABASES: tuple[tuple[str, Database, bool], ...] = (("database", "service", True), ("ops_database", "ops", False))
"""Name of the check, the database, and whether the service is down without it."""

_OUR_TABLE = "opsbook.schema_files"
"""Stands in an ops database once the packaged schema was applied."""

_OUTSIDE_INTERVAL = 2.0
"""Seconds between calls to somebody else's service."""

_SLOW_INTERVAL = 10.0
"""Seconds between checks of what changes by the hour, each of which opens a connection."""


@asynccontextmanager
async def standard_checks(monitor: HealthMonitor, settings: Settings) -> AsyncIterator[None]:
    """Add the checks to a monitor; they and their connections go when the context does.

    Only the service database is critical. Without the ops database the levers cannot be
    pulled, but the service works on from its last known flags: that is degraded, not down,
    and must not take it out of a load balancer.
    """
    async with AsyncExitStack() as stack:

        def add(name: str, function: AnyCheckFunction, *, critical: bool = False, interval: float = 0.5) -> None:
            monitor.add(name, function, critical=critical, interval=interval)
            stack.callback(monitor.remove, name)

        for name, which, critical in _DATABASES:
            add(name, _database(settings, which, stack), critical=critical)
        add("migrations", _migrations(settings), interval=_SLOW_INTERVAL)
        add("worker", _worker(settings), interval=_SLOW_INTERVAL)
        add("redis", await _redis(settings, stack))
        add("supabase", await _supabase(settings, stack), interval=_OUTSIDE_INTERVAL)
        yield


def _not_configured(why: str) -> CheckFunction:
    async def run() -> Finding:
        return Finding(Status.NOT_CONFIGURED, why)

    return run


def _database(settings: Settings, which: Database, stack: AsyncExitStack) -> CheckFunction:
    url = settings.url_of(which)
    if url is None:
        return _not_configured(f"no {which} database is named")
    probe = DatabaseProbe(url, _OUR_TABLE if which == "ops" else None)
    stack.push_async_callback(probe.close)
    return probe


def _migrations(settings: Settings) -> AnyCheckFunction:
    """Warns while files of the migrations folder are not recorded in the service database."""
    url = settings.url_of("service")
    if url is None:
        return _not_configured("no service database is named")

    def run() -> Finding | str:
        folder = _migrations_folder()
        if folder is None:
            return Finding(Status.NOT_CONFIGURED, f"there is no folder {MIGRATIONS_FOLDER}")
        pending = [migration.path.name for migration in pending_migrations(url, folder)]
        if pending:
            return Finding(Status.WARN, f"{len(pending)} not applied: {', '.join(pending[:5])}")
        return "all applied"

    return run


def _migrations_folder() -> Path | None:
    here = Path.cwd()
    return next((at / MIGRATIONS_FOLDER for at in (here, *here.parents) if (at / MIGRATIONS_FOLDER).is_dir()), None)


def _worker(settings: Settings) -> CheckFunction:
    """Warns when a worker has fallen silent or stopped, or there is work that none takes."""
    url = settings.url_of("ops")
    if url is None:
        return _not_configured("no ops database is named")

    async def run() -> Finding | str:
        beat = await store.worker_heartbeat(url)
        if beat is None or not (beat.workers or beat.work_is_waiting or beat.has_worked):
            return Finding(Status.NOT_CONFIGURED, "no worker has ever reported; start one with `opsbook worker`")
        if beat.seconds_ago is None:
            waiting = "jobs are waiting and " if beat.work_is_waiting else ""
            return Finding(Status.WARN, f"{waiting}no worker runs; start one with `opsbook worker`")
        if beat.seconds_ago > WORKER_SILENCE_SECONDS:
            return Finding(Status.WARN, f"the last sign of life is {beat.seconds_ago:.0f} s old")
        return f"{beat.workers} at work, last sign of life {beat.seconds_ago:.0f} s ago"

    return run


async def _redis(settings: Settings, stack: AsyncExitStack) -> CheckFunction:
    if settings.redis_url is None:
        return _not_configured("REDIS_URL is not set")
    from redis.asyncio import Redis

    client: Redis = Redis.from_url(settings.redis_url.get_secret_value())
    stack.push_async_callback(client.aclose)

    async def run() -> None:
        await client.ping()

    return run


async def _supabase(settings: Settings, stack: AsyncExitStack) -> CheckFunction:
    """Asks Supabase's auth server for its health, as its status page does; the gateway wants a key for it."""
    if settings.supabase_url is None:
        return _not_configured("SUPABASE_URL is not set")
    import httpx

    key = settings.supabase_service_role_key
    client: httpx.AsyncClient = await stack.enter_async_context(
        httpx.AsyncClient(headers={"apikey": key.get_secret_value()} if key else {})
    )
    address = f"{settings.supabase_url.rstrip('/')}/auth/v1/health"

    async def run() -> None:
        answer = await client.get(address)
        if answer.status_code != 200:
            hint = "; is SUPABASE_SERVICE_ROLE_KEY right?" if answer.status_code in (401, 403) else ""
            raise Unavailable(f"GET /auth/v1/health answered {answer.status_code}{hint}")

    return run
