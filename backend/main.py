"""The service: `uvicorn backend.main:app` from the project's folder, or `uvicorn main:app` from this one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `backend` is found from inside its folder too

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

import opsbook
from backend.config import PROJECT, settings
from backend.database import engine
from backend.problems import documented, handle_problems
from backend.rate_limit import DEFAULT
from backend.routes import auth, digest, events, sessions


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Allow more threads than connections: an exhausted pool is then answered 503, not waited for unseen."""
    capacity = settings.database_pool_size + settings.database_max_overflow
    current_default_thread_limiter().total_tokens = capacity + 10
    yield
    engine.dispose()


opsbook.set_up_logging(settings.log_level)

app = FastAPI(title="Reference service", lifespan=lifespan, docs_url=None, redoc_url=None)
app.add_middleware(opsbook.BodyLimit)
handle_problems(app)
for routes in (auth, events, sessions, digest):
    app.include_router(routes.router, responses=documented(400, 413, 422, 429, 503))

# Health, levers and the console at /ops, in this process; last, so that nothing above stands before them.
book = opsbook.install(app, pool=engine, limits=[DEFAULT], folder=PROJECT)
app.state.book = book
