"""What a remembered result costs: from this process's memory beside cachebox and cashews, from Redis beside a GET."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import cachebox
import msgspec
import redis
import redis.asyncio
from cashews import Cache

from benchmarks._beside import figure, in_turns, in_turns_async, share
from benchmarks._servers import free_port
from opsbook import cached
from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import load_settings
from opsbook.performance.cache.process import process
from tests.redis_server import running_redis

CALLS = 1_000
ROUNDS = 200
REDIS_CALLS = 50
REDIS_ROUNDS = 100
TTL_SECONDS = 300
MOST_OF_CACHEBOXS_TIME = 2.0
MOST_OF_CASHEWS_TIME = 1 / 20
MOST_OF_A_GETS_TIME = 1.2
PATIENCE_SECONDS = 5.0
"""So long that a busy machine is not taken for a dead Redis."""

User = dict[str, str | int]
USER: User = {"id": 17, "name": "Ada Lovelace", "email": "ada@example.org", "plan": "pro"}


def main() -> None:
    logging.disable(logging.CRITICAL)
    with running_redis("--bind", "127.0.0.1", "--port", str(port := free_port())) as server:
        settings = load_settings(redis_url=server.url, home=Path("/nonexistent"), environment="benchmark")
        process.configure(settings, RedisLink(server.url, patience_seconds=PATIENCE_SECONDS))
        in_memory()
        asyncio.run(in_memory_async(port))
        on_redis(server.url)
        asyncio.run(on_redis_async(server.url))
        process.close()


def in_memory() -> None:
    @cached(ttl=TTL_SECONDS)
    def ours(user_id: int) -> User:
        return USER

    @cachebox.cached(cachebox.TTLCache(1024, TTL_SECONDS))
    def theirs(user_id: int) -> User:
        return USER

    medians = in_turns({"ours": calling(ours), "theirs": calling(theirs)}, rounds=ROUNDS, calls=CALLS)
    what = f"a hit in memory, plain function, median of {ROUNDS} × {CALLS:,}"
    beside_cachebox("cached_memory", what, medians["ours"], medians["theirs"])


async def in_memory_async(port: int) -> None:
    """With cashews, too, Redis says when what is in memory is out of date."""

    @cached(ttl=TTL_SECONDS)
    async def ours(user_id: int) -> User:
        return USER

    @cachebox.cached(cachebox.TTLCache(1024, TTL_SECONDS))
    async def theirs(user_id: int) -> User:
        return USER

    cashews = Cache()
    cashews.setup(f"redis://127.0.0.1:{port}?client_side=True")

    @cashews(ttl=TTL_SECONDS)
    async def client_side(user_id: int) -> User:
        return USER

    contestants = {
        name: awaiting(each) for name, each in (("ours", ours), ("theirs", theirs), ("cashews", client_side))
    }
    medians = await in_turns_async(contestants, rounds=ROUNDS, calls=CALLS)
    await cashews.close()
    what = f"a hit in memory, coroutine function, median of {ROUNDS} × {CALLS:,}"
    beside_cachebox("cached_memory_async", what, medians["ours"], medians["theirs"])
    what = f"{what}, in times of cashews with its client-side cache"
    share("cached_memory_cashews", what, medians["ours"], "cashews", medians["cashews"], MOST_OF_CASHEWS_TIME)


def beside_cachebox(name: str, what: str, ours: float, theirs: float) -> None:
    figure(name, what, ours, "µs")
    share(f"{name}_cachebox", f"{what}, in times of cachebox's", ours, "cachebox", theirs, MOST_OF_CACHEBOXS_TIME)


def on_redis(url: str) -> None:
    @cached(ttl=TTL_SECONDS, maximum_entries=0)
    def ours(user_id: int) -> User:
        return USER

    client, decode = redis.Redis.from_url(url), msgspec.msgpack.Decoder(User).decode
    client.set("user", msgspec.msgpack.encode(USER))

    def get(_: int) -> User:
        found = client.get("user")
        assert isinstance(found, bytes)
        return decode(found)

    contestants = {"ours": calling(ours, REDIS_CALLS), "get": calling(get, REDIS_CALLS)}
    medians = in_turns(contestants, rounds=REDIS_ROUNDS, calls=REDIS_CALLS)
    client.close()
    beside_get("cached_redis", "plain function", medians["ours"], medians["get"])


async def on_redis_async(url: str) -> None:
    @cached(ttl=TTL_SECONDS, maximum_entries=0)
    async def ours(user_id: int) -> User:
        return USER

    client, decode = redis.asyncio.Redis.from_url(url), msgspec.msgpack.Decoder(User).decode

    async def get(_: int) -> User:
        found = await client.get("user")
        assert isinstance(found, bytes)
        return decode(found)

    contestants = {"ours": awaiting(ours, REDIS_CALLS), "get": awaiting(get, REDIS_CALLS)}
    medians = await in_turns_async(contestants, rounds=REDIS_ROUNDS, calls=REDIS_CALLS)
    await client.aclose()
    assert process.link is not None
    await process.link.aclose()
    beside_get("cached_redis_async", "coroutine function", medians["ours"], medians["get"])


def beside_get(name: str, kind: str, ours: float, bare: float) -> None:
    what = f"a hit on Redis, {kind}, median of {REDIS_ROUNDS} × {REDIS_CALLS}, in times of a bare GET plus decode"
    share(name, what, ours, "redis-py and msgspec", bare, MOST_OF_A_GETS_TIME)


def calling(function: Callable[[int], object], calls: int = CALLS) -> Callable[[], None]:
    def run() -> None:
        for _ in range(calls):
            function(17)

    return run


def awaiting(function: Callable[[int], Awaitable[object]], calls: int = CALLS) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        for _ in range(calls):
            await function(17)

    return run


if __name__ == "__main__":
    main()
