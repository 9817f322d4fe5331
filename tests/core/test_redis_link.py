"""The link to Redis: nobody waits longer than a moment, nobody twice, and it comes back by itself."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.exceptions import NoScriptError, RedisClusterException

from opsbook.core.redis_link import RedisAway, RedisLink
from tests.redis_cluster import running_cluster
from tests.redis_server import RedisServer, running_redis

_GENEROUS_SECONDS = 10.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def link(server: RedisServer) -> Iterator[RedisLink]:
    link = RedisLink(server.url, patience_seconds=0.5)
    yield link
    link.close()


def test_threads_and_loops_reach_the_same_redis(link: RedisLink) -> None:
    link.call(lambda client: client.set("place", "here"))

    async def read() -> object:
        try:
            return await link.call_async(lambda client: client.get("place"))
        finally:
            await link.aclose()

    assert [asyncio.run(read()) for _ in range(2)] == [b"here", b"here"]


def test_values_are_fetched_by_threads_and_loops_whatever_became_of_the_connection(server: RedisServer) -> None:
    link = RedisLink(server.url, patience_seconds=_GENEROUS_SECONDS)

    async def fetch() -> list[Sequence[bytes | None]]:
        try:
            many = await asyncio.gather(*(link.fetch_async(["place", "none"]) for _ in range(100)))
            server.restart_empty()  # unnoticed, for nobody asks meanwhile
            link.call(lambda client: client.set("place", "there"))
            return [many[0], many[99], await link.fetch_async(["place"])]
        finally:
            await link.aclose()

    link.call(lambda client: client.set("place", "here"))
    assert link.fetch(["place", "none"]) == [b"here", None]
    assert asyncio.run(fetch()) == [[b"here", None], [b"here", None], [b"there"]]
    assert link.fetch(["place"]) == [b"there"]
    assert link.available
    link.close()
    assert link.fetch(["place"]) == [b"there"]
    link.close()


def test_a_frozen_redis_is_waited_for_once(link: RedisLink, server: RedisServer) -> None:
    link.call(_ping)
    server.freeze()
    try:
        with pytest.raises(RedisAway):
            link.call(_ping)
        assert not link.available
        before = time.perf_counter()
        for _ in range(1000):
            with pytest.raises(RedisAway):
                link.call(_ping)
        # A thousand waits would be 500 s.
        assert time.perf_counter() - before < _GENEROUS_SECONDS
    finally:
        server.thaw()
    assert _until(lambda: link.available)
    assert link.call(_ping)


def test_threads_that_connect_to_a_frozen_redis_do_not_wait_for_one_another(server: RedisServer) -> None:
    link = RedisLink(server.url, patience_seconds=1.0)

    def ask(_: int) -> object:
        with pytest.raises(RedisAway):
            return link.call(_ping)

    server.freeze()
    try:
        before = time.perf_counter()
        with ThreadPoolExecutor(30) as threads:
            list(threads.map(ask, range(30)))
        # Thirty waits would be 30 s.
        assert time.perf_counter() - before < _GENEROUS_SECONDS
    finally:
        server.thaw()
    assert _until(lambda: link.available)
    assert link.call(_ping)
    link.close()


def test_an_event_loop_waits_for_a_frozen_redis_once_for_all_its_tasks(link: RedisLink, server: RedisServer) -> None:
    async def ask(count: int) -> list[object]:
        try:
            return await asyncio.gather(
                *(link.call_async(lambda client: client.ping()) for _ in range(count)), return_exceptions=True
            )
        finally:
            await link.aclose()

    server.freeze()
    try:
        answers = asyncio.run(ask(200))
        assert all(isinstance(answer, RedisAway) for answer in answers)
        assert not link.available
    finally:
        server.thaw()
    assert _until(lambda: asyncio.run(ask(200)) == [True] * 200)


def test_a_killed_redis_is_found_again(link: RedisLink, server: RedisServer) -> None:
    link.call(_ping)
    server.kill()
    with pytest.raises(RedisAway):
        link.call(_ping)
    assert not link.available
    server.start()
    assert _until(lambda: link.available)
    assert link.call(_ping)


def test_an_error_of_the_data_is_no_reason_to_stop_asking(link: RedisLink) -> None:
    link.call(lambda client: client.set("text", "x"))
    with pytest.raises(RedisAway, match="WRONGTYPE"):
        link.call(lambda client: client.lpush("text", "y"))
    assert link.available


def test_an_unknown_script_is_the_callers_to_send(link: RedisLink) -> None:
    with pytest.raises(NoScriptError):
        link.call(lambda client: client.evalsha("0" * 40, 0))
    assert link.available


def test_a_former_primary_opens_the_breaker(link: RedisLink, server: RedisServer) -> None:
    with server.client() as direct:
        direct.replicaof("127.0.0.1", "1")
        with pytest.raises(RedisAway):
            link.call(lambda client: client.set("a", "b"))
        direct.replicaof("NO", "ONE")
    assert _until(lambda: link.available)
    assert link.call(lambda client: client.set("a", "b"))


def test_a_forked_child_has_connections_of_its_own(link: RedisLink, server: RedisServer) -> None:
    link.call(_ping)
    child = os.fork()
    if child == 0:
        os._exit(0 if link.call(lambda client: client.set("from", "child")) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert link.call(lambda client: client.get("from")) == b"child"


def test_a_cluster_is_recognised_from_one_of_its_nodes() -> None:
    with running_cluster() as url:
        link = RedisLink(url, patience_seconds=2.0)
        keys = [f"key-{number}" for number in range(20)]  # in slots of both nodes

        async def read() -> list[object]:
            try:
                return [await link.call_async(lambda client, key=key: client.get(key)) for key in keys]
            finally:
                await link.aclose()

        for key in keys:
            link.call(lambda client, key=key: client.set(key, key))
        assert asyncio.run(read()) == [key.encode() for key in keys]
        link.close()


def test_a_cluster_that_has_lost_its_nodes_is_away(link: RedisLink) -> None:
    def ask(_: redis.Redis) -> None:
        raise RedisClusterException("Redis Cluster cannot be connected")  # what redis-py raises; it is no RedisError

    with pytest.raises(RedisAway):
        link.call(ask)
    assert not link.available
    assert _until(lambda: link.available)


def _ping(client: redis.Redis) -> bool:
    return bool(client.ping())


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _GENEROUS_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
