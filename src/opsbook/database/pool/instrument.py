"""Puts a meter on a pool: SQLAlchemy's by its `connect` and its events, psycopg_pool's by `getconn` and `putconn`."""

from __future__ import annotations

import sys
from functools import wraps
from inspect import currentframe, iscoroutinefunction
from typing import Any

from opsbook.database.pool.meter import PoolMeter
from opsbook.database.pool.stacks import caller_of_greenlet
from opsbook.database.pool.status import pool_status

_MARK = "_opsbook_meter"
_ENGINES_FRAMES = 2
"""Up to whoever called `Engine.raw_connection`."""


def metered(pool: object) -> PoolMeter:
    """The meter of a pool, which from here on it counts into; the same one when asked again.

    Args:
        pool: An SQLAlchemy pool, `Engine` or `AsyncEngine`, or a psycopg_pool pool, sync or async.

    Raises:
        TypeError: It is none of these.
    """
    measured: Any = getattr(pool, "sync_engine", pool)
    if (present := getattr(measured, _MARK, None)) is not None:
        return present
    pool_status(pool)
    meter = PoolMeter(pool)
    if hasattr(measured, "getconn"):
        _measure_psycopg(measured, meter)
    else:
        _measure_sqlalchemy(measured, meter)
    setattr(measured, _MARK, meter)
    return meter


def _measure_sqlalchemy(engine: Any, meter: PoolMeter) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    pool = engine.pool if isinstance(engine, Engine) else engine
    # A disposed engine makes a new pool, which inherits the listeners but not the wrapped method.
    event.listen(pool, "checkin", lambda _, record: meter.given_back(id(record)))
    event.listen(pool, "detach", lambda _, record: meter.given_back(id(record)))
    depth = 1 if engine is pool else _ENGINES_FRAMES
    _wrap_connect(pool, meter, depth)
    if engine is not pool:
        event.listen(engine, "engine_disposed", lambda disposed: _wrap_connect(disposed.pool, meter, depth))


def _wrap_connect(pool: Any, meter: PoolMeter, depth: int = 1) -> None:
    from sqlalchemy.exc import TimeoutError as PoolExhausted

    original = pool.connect
    from_coroutines = getattr(pool, "_is_asyncio", False)
    callers_frame = sys._getframe  # pyright: ignore[reportPrivateUsage]

    @wraps(original)
    def connect() -> Any:
        ticket = meter.asked()
        try:
            fairy = original()
        except BaseException as error:
            meter.refused(ticket, exhausted=isinstance(error, PoolExhausted))
            raise
        # Frames that are passed over cost nothing.
        frame = caller_of_greenlet() if from_coroutines else callers_frame(depth)
        meter.got(ticket, id(fairy._connection_record), frame)
        return fairy

    pool.connect = connect


def _measure_psycopg(pool: Any, meter: PoolMeter) -> None:
    wrap = _wrap_async if iscoroutinefunction(pool.getconn) else _wrap_sync
    wrap(pool, meter)


def _wrap_sync(pool: Any, meter: PoolMeter) -> None:
    getconn, putconn = pool.getconn, pool.putconn

    @wraps(getconn)
    def taking(timeout: float | None = None) -> Any:
        ticket, frame = meter.asked(), currentframe()
        try:
            connection = getconn(timeout)
        except BaseException as error:
            meter.refused(ticket, exhausted=_is_exhausted(error))
            raise
        meter.got(ticket, id(connection), frame)
        return connection

    @wraps(putconn)
    def giving(conn: Any) -> None:
        # First: the moment it is back, somebody else may have it, under the same name.
        meter.given_back(id(conn))
        putconn(conn)

    pool.getconn, pool.putconn = taking, giving


def _wrap_async(pool: Any, meter: PoolMeter) -> None:
    getconn, putconn = pool.getconn, pool.putconn

    @wraps(getconn)
    async def taking(timeout: float | None = None) -> Any:  # noqa: ASYNC109 - psycopg_pool's own signature
        ticket, frame = meter.asked(), currentframe()
        try:
            connection = await getconn(timeout)
        except BaseException as error:
            meter.refused(ticket, exhausted=_is_exhausted(error))
            raise
        meter.got(ticket, id(connection), frame)
        return connection

    @wraps(putconn)
    async def giving(conn: Any) -> None:
        meter.given_back(id(conn))
        await putconn(conn)

    pool.getconn, pool.putconn = taking, giving


def _is_exhausted(error: BaseException) -> bool:
    from psycopg_pool import PoolTimeout, TooManyRequests

    return isinstance(error, PoolTimeout | TooManyRequests)
