"""Pools of every kind are measured from inside: who asks, waits, holds, is refused; and work as before."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from opsbook.database import metered
from opsbook.database.pool.meter import PoolMeter, Reading

pytestmark = pytest.mark.anyio


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=2, max_overflow=0, pool_timeout=0.1)
    yield engine
    engine.dispose()


def ended(reading: Reading) -> int:
    return sum(reading.holds.values())


def test_a_connection_is_counted_from_the_asking_to_the_giving_back(engine: Engine) -> None:
    meter = metered(engine)
    with engine.connect(), engine.connect():
        reading = meter.read()
        assert (reading.arrivals, reading.checked_out, ended(reading)) == (2, 2, 0)
        assert reading.status is not None
        assert reading.status.exhausted
    reading = meter.read()
    assert (reading.arrivals, reading.checked_out, reading.most_checked_out, ended(reading)) == (2, 0, 2, 2)
    assert meter.read().most_checked_out == 0, "the high-water mark begins anew with each reading"


def test_who_holds_for_longest_is_told_with_the_line_that_took_it(engine: Engine) -> None:
    meter = metered(engine)

    def somebody_slow() -> None:
        with engine.connect():
            (holder,) = meter.read().holders
            assert "somebody_slow" in holder.stack[0]
            assert holder.stack[0].startswith("tests/database/pool/test_instrument.py:")
            assert "test_who_holds_for_longest" in holder.stack[1]

    somebody_slow()
    longest = meter.read().longest_ended
    assert longest is not None
    assert "somebody_slow" in longest.stack[0]
    assert meter.read().longest_ended is None


def test_an_exhausted_pool_counts_whom_it_refuses_and_who_waits(engine: Engine) -> None:
    meter = metered(engine)
    waited: list[int] = []
    with engine.connect(), engine.connect():
        watching = threading.Event()

        def refused() -> None:
            with pytest.raises(PoolExhausted):
                engine.connect()
            watching.set()

        thread = threading.Thread(target=refused)
        thread.start()
        while not watching.is_set():
            waited.append(meter.read().waiting)
            time.sleep(0.001)
        thread.join(5)
        reading = meter.read()
    assert max(waited) == 1
    assert (reading.timeouts, reading.failures, reading.arrivals, reading.waiting) == (1, 0, 3, 0)
    assert reading.waited_seconds >= 0.1


def test_a_database_that_is_away_is_a_failure_and_no_refusal() -> None:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    meter = metered(engine)
    with pytest.raises(Exception, match="connection"):
        engine.connect()
    reading = meter.read()
    assert (reading.failures, reading.timeouts, reading.checked_out) == (1, 0, 0)


def test_a_forgotten_connection_that_the_collector_returns_is_given_back(engine: Engine) -> None:
    meter = metered(engine)
    connection = engine.raw_connection()
    assert meter.read().checked_out == 1
    del connection
    gc.collect()
    assert meter.read().checked_out == 0


def test_a_detached_or_invalidated_connection_is_out_no_more(engine: Engine) -> None:
    meter = metered(engine)
    with engine.connect() as detached:
        detached.detach()
        assert meter.read().checked_out == 0
    with engine.connect() as broken:
        broken.invalidate()
    assert meter.read().checked_out == 0


def test_a_disposed_engines_new_pool_is_measured_on(engine: Engine) -> None:
    meter = metered(engine)
    engine.dispose()
    with engine.connect():
        assert meter.read().checked_out == 1
    assert (meter.read().arrivals, meter.read().checked_out) == (1, 0)


def test_asked_again_it_is_the_same_meter_and_counts_once(engine: Engine) -> None:
    meter = metered(engine)
    assert metered(engine) is meter
    with engine.connect():
        assert meter.read().arrivals == 1


def test_a_pool_that_keeps_no_count_is_measured_all_the_same() -> None:
    engine = create_engine("sqlite://", poolclass=NullPool)
    meter = metered(engine)
    with engine.connect():
        reading = meter.read()
    assert (reading.status, reading.checked_out) == (None, 1)


def test_many_threads_leave_nothing_behind() -> None:
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=3, connect_args={"check_same_thread": False})
    meter = metered(engine)

    def work() -> None:
        for _ in range(200):
            with engine.connect():
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    reading = meter.read()
    assert (reading.checked_out, reading.waiting, reading.timeouts) == (0, 0, 0)
    # No lock is taken, so that a count or two may be lost; see `Histogram`.
    assert 1590 <= reading.arrivals <= 1600
    engine.dispose()


async def test_an_async_engine_tells_the_coroutine_that_took_it(service_url: str) -> None:
    engine = create_async_engine(make_url(service_url).set(drivername="postgresql+psycopg"), pool_size=1)
    meter = metered(engine)

    async def some_coroutine() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))
            (holder,) = meter.read().holders
            assert any("some_coroutine" in frame for frame in holder.stack), holder.stack

    await some_coroutine()
    reading = meter.read()
    assert (reading.checked_out, ended(reading)) == (0, 1)
    await engine.dispose()


def test_a_psycopg_pool_is_measured(service_url: str) -> None:
    with ConnectionPool(service_url, min_size=1, max_size=1, timeout=0.1) as pool:
        meter = metered(pool)
        with pool.connection():
            (holder,) = meter.read().holders
            assert "test_a_psycopg_pool_is_measured" in holder.stack[0]
            with pytest.raises(PoolTimeout), pool.connection():
                pass
        reading = meter.read()
    assert (reading.arrivals, reading.timeouts, reading.checked_out, ended(reading)) == (2, 1, 0, 1)


async def test_an_async_psycopg_pool_is_measured(service_url: str) -> None:
    async with AsyncConnectionPool(service_url, min_size=1, max_size=1, timeout=0.1, open=False) as pool:
        meter = metered(pool)
        async with pool.connection():
            (holder,) = meter.read().holders
            assert "test_an_async_psycopg_pool_is_measured" in holder.stack[0]
            waiting = asyncio.create_task(_take(pool))
            with pytest.raises(PoolTimeout):
                await waiting
        reading = meter.read()
    assert (reading.arrivals, reading.timeouts, reading.checked_out, ended(reading)) == (2, 1, 0, 1)


async def _take(pool: AsyncConnectionPool[Any]) -> None:
    async with pool.connection():
        pass


def test_a_forked_child_counts_from_zero(engine: Engine) -> None:
    meter = metered(engine)
    with engine.connect(), _child(meter) as told:
        assert told == "0 0"
    assert meter.read().arrivals == 1


@contextmanager
def _child(meter: PoolMeter) -> Iterator[str]:
    """What a forked child reads."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        reading = meter.read()
        os.write(writable, f"{reading.arrivals} {reading.checked_out}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    yield os.read(readable, 100).decode()
    os.close(readable)
    os.close(writable)


def test_something_else_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="int is not a connection pool"):
        metered(3)
