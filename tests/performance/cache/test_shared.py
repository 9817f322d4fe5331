"""`@cached` on a real Redis: what comes back, what is no entry, and that Redis in trouble troubles nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

import opsbook
from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import Settings
from opsbook.performance.cache import calls, function
from opsbook.performance.cache.process import process
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.steps import carry_out
from tests.performance.cache.helpers import arrives, forget_memory, until
from tests.redis_server import RedisServer, running_redis

OnRedis = Callable[..., RedisLink]


@dataclass
class Point:
    x: int
    tags: set[str]


class Person(BaseModel):
    name: str
    born: datetime


def point() -> Point:
    return Point(1, {"a"})


def person() -> Person:
    return Person(name="Ada", born=datetime(1815, 12, 10, tzinfo=UTC))


def people() -> list[Person]:
    return [person()]


def pair() -> tuple[Decimal, int | None]:
    return Decimal("1.10"), None


def plain():
    return {"a": [1, 2.5, None, True, b"\x00\xff"], 3: "three"}


def unsaid():
    return (1, 2)


@pytest.mark.parametrize("function", [point, person, people, pair, plain])
def test_a_value_comes_back_as_it_went(on_redis: OnRedis, function: Callable[[], object]) -> None:
    on_redis()
    read = opsbook.cached()(function)
    assert read() == function()
    forget_memory()
    back = read()
    assert (back, type(back)) == (function(), type(function()))
    assert (read.statistics().misses, read.statistics().shared_hits) == (1, 1)


def test_a_value_that_would_change_on_the_way_stays_in_memory_and_says_so_once(
    on_redis: OnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    on_redis()
    read = opsbook.cached(key=lambda value: value)(lambda value: (value, 2))
    assert [read(1), read(1), read(2)] == [(1, 2), (1, 2), (2, 2)]
    assert caplog.text.count("cached_in_memory_only") == 1
    forget_memory()
    assert read(1) == (1, 2)
    assert read.statistics().misses == 3


def entries(server: RedisServer, name: str) -> list[bytes]:
    with server.client() as client:
        keys = [key for key in client.keys(f"opsbook:cache:*:{name}}}:*") if isinstance(key, bytes)]
    return [key for key in keys if len(key.rpartition(b":")[2]) == 32]


POISON = [
    b"",
    b"\x00",
    b"not ours",
    b"\x98" * 10_000,
    b"\xc1",
    b"c__builtin__\neval\n(S'1/0'\ntR.",
    b"\xdd\xff\xff\xff\xff",
]


@pytest.mark.parametrize("poison", [*POISON, "bit flipped", "a list"])
def test_poisoned_bytes_are_a_miss(on_redis: OnRedis, redis_server: RedisServer, poison: bytes | str) -> None:
    on_redis()
    calls: list[int] = []

    @opsbook.cached(name="poisoned")
    def read() -> list[str]:
        calls.append(1)
        return ["value"]

    read.purge()
    read()
    (key,) = entries(redis_server, "poisoned")
    with redis_server.client() as client:
        whole = client.get(key)
        assert isinstance(whole, bytes)
        client.delete(key)
        if poison == "a list":
            client.rpush(key, "x")
        else:
            client.set(key, whole[:-1] + b"X" if isinstance(poison, str) else poison)
    forget_memory()
    assert read() == ["value"]
    assert len(calls) == 2
    forget_memory()
    assert read() == ["value"]
    assert len(calls) == 2


def test_another_version_of_the_code_is_not_given_a_value_of_another_type(on_redis: OnRedis) -> None:
    on_redis()

    def number() -> int:
        return 1

    def text() -> str:
        return "one"

    assert opsbook.cached(name="changing")(number)() == 1
    assert opsbook.cached(name="changing")(text)() == "one"


def test_purges_reach_redis(on_redis: OnRedis) -> None:
    on_redis()
    calls: list[int] = []

    @opsbook.cached(tags="all")
    def read(value: int) -> int:
        calls.append(value)
        return value

    read(1)
    read(2)
    read.invalidate(1)
    forget_memory()
    assert [read(1), read(2)] == [1, 2]
    assert calls == [1, 2, 1]
    read.purge()
    assert [read(1), read(2)] == [1, 2]
    assert calls == [1, 2, 1, 1, 2]


@pytest.mark.anyio
async def test_what_was_begun_before_it_was_forgotten_is_not_shared(on_redis: OnRedis) -> None:
    import asyncio

    link = on_redis()
    world = ["old"]
    go_on = asyncio.Event()
    began: list[int] = []

    @opsbook.cached()
    async def read() -> str:
        found = world[0]
        began.append(1)
        await go_on.wait()
        return found

    for forget in (read.invalidate, read.purge):
        world[0] = "old"
        go_on.clear()
        began.clear()
        early = asyncio.create_task(read())
        await arrives(lambda: began)
        world[0] = "new"
        await forget()
        go_on.set()
        assert await early == "old"
        forget_memory()
        assert await read() == "new"
        await read.purge()
    await link.aclose()


@pytest.mark.anyio
async def test_who_asks_redis_for_others_may_leave(on_redis: OnRedis, redis_server: RedisServer) -> None:
    import asyncio

    link = on_redis(patience_seconds=60)

    @opsbook.cached()
    async def read() -> int:
        return 7

    assert await read() == 7
    forget_memory()
    redis_server.freeze()
    try:
        first, second = [asyncio.create_task(read()) for _ in range(2)]
        await arrives(lambda: read.statistics().waits)  # the second, for the first
        first.cancel()
    finally:
        redis_server.thaw()
    async with asyncio.timeout(60):
        assert await second == 7
    assert first.cancelled()
    assert read.statistics().misses == 1
    await link.aclose()


def test_a_value_stays_in_redis_no_longer_than_it_is_usable(on_redis: OnRedis, redis_server: RedisServer) -> None:
    on_redis()
    opsbook.cached(ttl=100, stale=20, name="bounded")(point)()
    (key,) = entries(redis_server, "bounded")
    with redis_server.client() as client:
        left = client.pttl(key)
    assert isinstance(left, int)
    assert 60_000 < left <= 120_000


def test_what_another_process_renews_is_looked_for_again_before_it_ends(
    on_redis: OnRedis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_redis()
    now = time.monotonic()
    for module in (calls, function):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    read = opsbook.cached(ttl=0.9, name="renewed elsewhere")(point)
    read()
    (target,) = [each for each in process.functions if each.name == "renewed elsewhere"]
    call = target.call_of((), {})
    with redis_server.client() as client:
        client.set(process.names.lease(target.name, call.digest), "another process")
        client.delete(process.names.entry(target.name, call.digest))
    entry = target.memory.get(call.key)
    assert entry is not None
    due = entry._replace(refresh_at=now)
    target.memory.put(call.key, due)
    read()
    until(lambda: target.memory.get(call.key) != due)
    entry = target.memory.get(call.key)
    assert entry is not None
    assert now < entry.refresh_at < entry.fresh_until


def test_who_joins_a_refresh_that_another_process_does_gets_the_result(
    on_redis: OnRedis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_redis(patience_seconds=60)
    now = time.monotonic()
    for module in (calls, function):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    read = opsbook.cached(ttl=100, name="joined")(point)
    read()
    (target,) = [each for each in process.functions if each.name == "joined"]
    call = target.call_of((), {})
    with redis_server.client() as client:
        client.delete(process.names.entry(target.name, call.digest))
        client.set(process.names.lease(target.name, call.digest), "another process", px=1000)
    entry = target.memory.get(call.key)
    assert entry is not None
    target.memory.put(call.key, entry._replace(refresh_at=now))
    redis_server.freeze()
    try:
        read()  # begins to compute it anew
        target.memory.clear()  # as others' results push it out
        with ThreadPoolExecutor(1) as threads:
            joined = threads.submit(read)
            until(lambda: read.statistics().waits)
            redis_server.thaw()
            assert joined.result(60) == point()
    finally:
        redis_server.thaw()


def test_none_lasts_in_redis_as_long_as_it_was_told_to(on_redis: OnRedis, redis_server: RedisServer) -> None:
    on_redis()

    @opsbook.cached(ttl=1, negative_ttl=3600, name="nothing")
    def nothing() -> None:
        return None

    nothing()
    with redis_server.client() as client:
        left = client.pttl(process.names.generations("nothing", ())[0])
    assert isinstance(left, int)
    assert left > 3600_000


def test_frozen_it_costs_a_moment_once(on_redis: OnRedis, redis_server: RedisServer) -> None:
    on_redis(patience_seconds=0.05)

    @opsbook.cached()
    def read(value: int) -> int:
        return value

    read(0)
    redis_server.freeze()
    try:
        started = time.monotonic()
        assert [read(value) for value in range(1, 200)] == list(range(1, 200))
        assert time.monotonic() - started < 5  # and not 200 times the patience of 50 ms
    finally:
        redis_server.thaw()


@contextmanager
def on(server: RedisServer) -> Iterator[RedisLink]:
    """The cache on a Redis of the test's own, with the patience that a service has."""
    link = RedisLink(server.url)
    process.configure(Settings.model_construct(redis_url=None), link)
    yield link
    link.close()


@pytest.mark.parametrize("trouble", ["killed", "restarted empty"])
def test_gone_it_is_done_without(trouble: str) -> None:
    calls: list[int] = []

    @opsbook.cached()
    def read(value: int) -> int:
        calls.append(value)
        return value

    with running_redis() as server, on(server) as link:
        assert read(1) == 1
        if trouble == "killed":
            server.kill()
        else:
            server.restart_empty()
            until(lambda: link.available)
        forget_memory()
        assert [read(1), read(1), read(2)] == [1, 1, 2]
        assert calls == [1, 1, 2]


def test_full_it_is_done_without() -> None:
    with running_redis("--maxmemory", "2mb", "--maxmemory-policy", "noeviction") as server, on(server):

        @opsbook.cached()
        def large(value: int) -> bytes:
            return bytes([value]) * 100_000

        for _ in range(2):
            assert all(large(value) == bytes([value]) * 100_000 for value in range(60))
        assert large.statistics().misses == 60


def test_a_purge_that_redis_did_not_hear_of_is_told_later() -> None:
    world = ["old"]

    @opsbook.cached()
    def read() -> str:
        return world[0]

    with running_redis() as server, on(server):
        read()
        server.freeze()
        world[0] = "new"
        read.invalidate()
        assert read() == "new"
        server.thaw()
        until(lambda: not process.owed)
        forget_memory()
        assert read() == "new"


class Babbling(RedisLink):
    """Answers in Redis's words, but to no question that was asked."""

    def __init__(self, answer: object) -> None:
        super().__init__("redis://127.0.0.1:1")
        self.answer = answer

    def call(self, operation: Callable[..., object]) -> Any:
        return self.answer

    def fetch(self, keys: Sequence[str]) -> Any:
        return [self.answer for _ in keys]


@pytest.mark.parametrize("answer", [5, b"OK", None, [1, None], [1, []], [1, [5, 5]], {5}])
def test_nonsense_troubles_nobody(answer: object) -> None:
    process.configure(Settings.model_construct(redis_url=None), Babbling(answer))

    @opsbook.cached(tags="user:{value}")
    def read(value: int) -> int:
        return value

    assert [read(1), read(2)] == [1, 2]
    read.invalidate(1)
    carry_out(process.purge(Purge("tag", "user:1")), lambda: None)
    assert [read(1), read(2)] == [1, 2]
