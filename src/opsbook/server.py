"""The server: every chapter's routes and pages in one ASGI app, alone or in front of a service's own.

`create_app` is what `opsbook serve` runs. `install` puts the same app in front of a FastAPI
or Starlette service: our paths go to it, untouched by the service's middleware, and everything
else goes to the service, untouched by ours.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from opsbook.chapters import CHAPTERS
from opsbook.core.access.known_tokens import KnownTokens
from opsbook.core.bus import Bus
from opsbook.core.errors import OpsbookError
from opsbook.core.http.client_address import TrustedProxies
from opsbook.core.http.context import RequestContext
from opsbook.core.http.cross_origin import CrossOrigin
from opsbook.core.http.paths import paths_of
from opsbook.core.http.problems import install_problems
from opsbook.core.http.request_log import RequestLog
from opsbook.core.log import get_logger, set_up_logging
from opsbook.core.postgres.connect import make_pool
from opsbook.core.redis_link import link_of
from opsbook.core.runtime import Runtime
from opsbook.core.schema import prepare_ops_database
from opsbook.core.settings import Settings, load_settings
from opsbook.core.stopping import noticing_stop
from opsbook.database import answer_exhaustion, metered
from opsbook.debugging import Intake, ProcessLogs
from opsbook.flags import Flags, PostgresSource
from opsbook.monitoring import HealthMonitor
from opsbook.monitoring.threads import run_in_thread
from opsbook.performance import (
    AddressBlocks,
    LimitMiddleware,
    LimitRegister,
    RateLimit,
    RateLimits,
    RefuseBlocked,
    policies_on_routes,
)
from opsbook.web.errors import install_error_pages
from opsbook.web.pages import router as web_router

_OPEN_TO_BROWSERS = ("/ofrep/",)
_NEVER_BLOCKED = ("/ops", "/api/admin/", "/api/health", "/api/monitoring/", "/api/livez", "/api/readyz")
_PREPARATION_SECONDS = 3.0
"""How long a start waits for the ops database; a service whose ops database is away must start all the same."""
_SHORTEST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0

log = get_logger(__name__)

Check = Callable[[], Any]


class Opsbook:
    """A process's Opsbook: the kit's levers in `flags`, checks of one's own by `check`."""

    def __init__(self, settings: Settings, pool: object | None = None, limits: Sequence[RateLimit] = ()) -> None:
        url = settings.require_url("ops")
        key = settings.secret_key.get_secret_value().encode() if settings.secret_key else secrets.token_bytes(32)
        self.runtime = Runtime(settings, CHAPTERS, make_pool(url, "opsbook"), Bus(url), key)
        source, snapshots = PostgresSource(url, self.runtime.bus), settings.home / "snapshots"
        self.flags = Flags(source, snapshots)
        self.logs = ProcessLogs(settings, self.runtime.bus)
        self.blocks = AddressBlocks(url, self.runtime.bus, snapshots / f"address-blocks-{source.identity}")
        self.health = HealthMonitor()
        self.health.ready_when("flags", lambda: self.flags.ready)
        if pool is not None:
            self.health.watch_pool(pool)
            self.runtime.put(metered(pool))
        self.proxies = TrustedProxies.parse(settings.trusted_proxies)
        self.runtime.put(self.proxies)
        self.limits = RateLimits(limits, link=link_of(settings), namespace=settings.environment, proxies=self.proxies)
        self.runtime.put(self.limits)
        kept = snapshots / f"rate-limits-{source.identity}"
        self.runtime.put(LimitRegister(self.limits, self.runtime.bus, kept))
        self.runtime.put(self.blocks)
        self.runtime.put(self.flags)
        self.runtime.put(self.health)
        self.runtime.put(KnownTokens(self.runtime))
        self.control_plane = _control_plane(self.runtime)
        ours = CrossOrigin(RequestContext(self.control_plane, self.proxies), _OPEN_TO_BROWSERS)
        # Before the request log: a line for each error sent says less than the error, and would feed on itself.
        self.app: ASGIApp = Guarded(Intake(ours, self.runtime, self.proxies), self.blocks, self.proxies)

    def check(self, name: str, *, critical: bool = False) -> Callable[[Check], Check]:
        """A health check of one's own, as a decorator: a function, async or not, that raises when it is not well."""

        def added(function: Check) -> Check:
            self.health.add(name, function, critical=critical)
            return function

        return added

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything that lives while the server does; it may be run again, as by one test after the other."""
        self.runtime.stopping = asyncio.Event()  # a new one for each run, which may be in another event loop
        async with AsyncExitStack() as stack:
            stack.enter_context(noticing_stop(self.runtime.stopping))
            stack.enter_context(self.logs.running())
            preparing = asyncio.create_task(_prepared(self.runtime.settings))
            stack.callback(preparing.cancel)
            await asyncio.wait({preparing}, timeout=_PREPARATION_SECONDS)
            pool = self.runtime.pool = make_pool(self.runtime.settings.require_url("ops"), "opsbook")
            await pool.open(wait=False)
            stack.push_async_callback(pool.close, timeout=2.0)
            if link := link_of(self.runtime.settings):
                stack.push_async_callback(link.aclose)
            self.flags.start()
            self.runtime.bus.start()
            stack.callback(self.runtime.bus.stop)
            for chapter in CHAPTERS:
                if lifespan := chapter.lifespan():
                    await stack.enter_async_context(lifespan(self.runtime))
            yield


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The control plane alone, as `opsbook serve` runs it.

    Raises:
        NotConfigured: No ops database is known.
    """
    settings = settings or load_settings()
    set_up_logging(settings.log_level)
    book = Opsbook(settings)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with book.running():
            yield

    alone = Starlette(routes=[Route("/", RedirectResponse("/ops"))], lifespan=lifespan)
    # Not mounted: a Mount's pattern stops at a line break, which a path may have, and answers without a problem.
    alone.router.default = book.app
    return alone


def install(
    app: Starlette,
    *,
    pool: object | None = None,
    limits: Sequence[RateLimit] = (),
    folder: Path | None = None,
    settings: Settings | None = None,
) -> Opsbook:
    """Put Opsbook in front of a FastAPI or Starlette app: health, levers and console in its process.

    Call it last, so that no other middleware stands before the levers.

    Args:
        app: The service.
        pool: Its connection pool, or SQLAlchemy engine, which is then watched by health and measured.
        limits: Rate limits on the service's requests; Opsbook's own paths are not limited.
        folder: The project's folder, where `.env` and `.opsbook` lie; the working folder where left out.
        settings: All of the configuration, instead of the environment's.

    Raises:
        NotConfigured: No ops database is known.
    """
    book = Opsbook(settings or load_settings(folder), pool, limits)
    answer_exhaustion(app)
    app.add_middleware(Front, book=book)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(service: Any) -> AsyncIterator[Any]:
        book.limits.declare(*policies_on_routes(app))
        async with book.running(), inner(service) as state:
            yield state

    app.router.lifespan_context = lifespan
    return book


class Front:
    """Pure ASGI: Opsbook's paths to Opsbook, others to the service, unless from a blocked address or too often.

    Opsbook's own paths are not limited, and guarded by themselves.
    """

    def __init__(self, app: ASGIApp, book: Opsbook) -> None:
        guarded = RefuseBlocked(LimitMiddleware(app, book.limits), book.blocks, book.proxies)
        self._service = RequestLog(guarded, ours=False)
        self._opsbook = book.app
        self._is_ours = paths_of(book.control_plane)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (self._is_ours(scope["path"]) or Intake.takes(scope["path"])):
            await self._opsbook(scope, receive, send)
            return
        await self._service(scope, receive, send)


class Guarded:
    """Pure ASGI: what Opsbook offers to callers, closed to blocked addresses; console, levers and health, to nobody.

    Health must answer, and a block which was a mistake must be lifted.
    """

    def __init__(self, app: ASGIApp, blocks: AddressBlocks, proxies: TrustedProxies) -> None:
        self._open = app
        self._closed = RefuseBlocked(app, blocks, proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "lifespan" or scope["path"].startswith(_NEVER_BLOCKED)
        await (self._open if is_open else self._closed)(scope, receive, send)


async def _prepared(settings: Settings) -> None:
    """Make the ops database ready, however long that takes: without it the service works, the levers do not."""
    pause = _SHORTEST_PAUSE_SECONDS
    while True:
        try:
            await run_in_thread(lambda: prepare_ops_database(settings, CHAPTERS))
        except (OpsbookError, psycopg.Error) as error:
            log.warning("ops_database_not_ready", error=str(error), retry_in_seconds=pause)
        else:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _control_plane(runtime: Runtime) -> FastAPI:
    app = FastAPI(
        title="Opsbook",
        summary="The operations runbook of a Postgres-backed web service.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.opsbook = runtime
    install_problems(app)
    install_error_pages(app)
    console = APIRouter(include_in_schema=False)
    console.include_router(web_router, prefix="/ops")
    for chapter in runtime.chapters:
        if router := chapter.router():
            app.include_router(router)
        if pages := chapter.pages_router():
            console.include_router(pages, prefix="/ops")
    app.include_router(console)
    return app
