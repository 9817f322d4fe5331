"""How full a pool is, for each kind of pool that the reference service or its users may have."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from psycopg_pool import AsyncConnectionPool, AsyncNullConnectionPool, ConnectionPool
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from opsbook.database import PoolStatus, pool_status

pytestmark = pytest.mark.anyio

MEMORY = "sqlite://"


def test_a_queue_pool_is_counted_until_it_is_exhausted() -> None:
    engine = create_engine(MEMORY, poolclass=QueuePool, pool_size=2, max_overflow=1)
    assert pool_status(engine) == PoolStatus(2, 1, checked_out=0, checked_in=0, overflow=0)
    connections = [engine.connect(), engine.connect()]
    assert pool_status(engine) == PoolStatus(2, 1, checked_out=2, checked_in=0, overflow=0)
    connections.append(engine.connect())
    full = pool_status(engine)
    assert full is not None
    assert full.as_dict() == {
        "pool_size": 2,
        "max_overflow": 1,
        "checked_out": 3,
        "checked_in": 0,
        "overflow": 1,
        "capacity": 3,
        "utilization": 1.0,
        "exhausted": True,
    }
    for connection in connections:
        connection.close()
    assert pool_status(engine.pool) == PoolStatus(2, 1, checked_out=0, checked_in=2, overflow=0)
    engine.dispose()


@pytest.mark.parametrize(("pool_size", "max_overflow"), [(0, 5), (3, -1)])
def test_a_pool_without_limit_is_never_exhausted(pool_size: int, max_overflow: int) -> None:
    engine = create_engine(MEMORY, poolclass=QueuePool, pool_size=pool_size, max_overflow=max_overflow)
    connections = [engine.connect() for _ in range(7)]
    status = pool_status(engine)
    assert status is not None
    assert (status.checked_out, status.capacity, status.utilization, status.exhausted) == (7, None, None, False)
    for connection in connections:
        connection.close()
    engine.dispose()


def test_an_async_engine_is_understood() -> None:
    engine = create_async_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", pool_size=20, max_overflow=30)
    status = pool_status(engine)
    assert status is not None
    assert (status.pool_size, status.max_overflow, status.capacity, status.exhausted) == (20, 30, 50, False)


@pytest.mark.parametrize("kind", [NullPool, StaticPool])
def test_a_pool_that_keeps_no_count_has_no_status(kind: type[NullPool | StaticPool]) -> None:
    assert pool_status(create_engine(MEMORY, poolclass=kind)) is None


def test_something_else_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="int is not a connection pool"):
        pool_status(3)


def test_a_psycopg_pool_counts_what_it_keeps_and_what_it_adds(service_url: str) -> None:
    with ConnectionPool(service_url, min_size=1, max_size=2) as pool:
        pool.wait()
        assert pool_status(pool) == PoolStatus(1, 1, checked_out=0, checked_in=1, overflow=0)
        with pool.connection(), pool.connection():
            full = pool_status(pool)
            assert full == PoolStatus(1, 1, checked_out=2, checked_in=0, overflow=1)
            assert full is not None
            assert full.exhausted


async def test_async_psycopg_pools_are_understood(service_url: str) -> None:
    async with AsyncConnectionPool(service_url, min_size=2, open=False) as pool:
        await pool.wait()
        async with pool.connection():
            assert pool_status(pool) == PoolStatus(2, 0, checked_out=1, checked_in=1, overflow=0)
    unlimited = pool_status(AsyncNullConnectionPool(service_url, max_size=0, open=False))
    assert unlimited is not None
    assert unlimited.capacity is None


def test_reading_a_pool_imports_no_database_library() -> None:
    libraries = "{'sqlalchemy', 'psycopg_pool'}"
    program = f"import sys; from opsbook.database import pool_status; print({libraries} & sys.modules.keys())"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "set()"
