"""Answers 503 where a request found no connection free in time, instead of a 500 with a stack trace."""

from __future__ import annotations

import sys

from psycopg_pool import PoolTimeout, TooManyRequests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from opsbook.core.http.problems import problem_response
from opsbook.core.log import get_logger

_RETRY_SECONDS = 1
"""As long as most requests keep a connection, and some: whoever comes back then finds one."""

log = get_logger(__name__)


def answer_exhaustion(app: Starlette) -> None:
    """Have the app's exhausted pools answered 503 with `Retry-After`, unless it answers them itself.

    Of SQLAlchemy only where that is loaded: a service without it must not be made to.
    """
    for error in (PoolTimeout, TooManyRequests, *_sqlalchemy()):
        if not _is_answered(app, error):
            app.add_exception_handler(error, _exhausted)


def _sqlalchemy() -> tuple[type[Exception], ...]:
    if "sqlalchemy" not in sys.modules:
        return ()
    from sqlalchemy.exc import TimeoutError as PoolExhausted

    return (PoolExhausted,)


def _is_answered(app: Starlette, error: type[Exception]) -> bool:
    """Whether the app has a handler for this kind of error; one for every `Exception` says nothing of pools."""
    return any(kind in app.exception_handlers for kind in error.__mro__ if kind not in {Exception, BaseException})


async def _exhausted(request: Request, error: Exception) -> Response:
    log.warning("pool_exhausted", path=request.url.path, error=type(error).__name__)
    return problem_response(
        503,
        "Service unavailable",
        "all database connections are in use; try again shortly",
        getattr(request.state, "request_id", None),
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )
