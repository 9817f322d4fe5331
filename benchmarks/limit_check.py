"""What deciding two windows together costs, beside the library `limits`, which decides them one after the other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing

from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter as AsyncMovingWindowRateLimiter
from limits.storage import MemoryStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

from benchmarks._beside import figure, in_turns, in_turns_async, share
from opsbook.core.redis_link import RedisLink
from opsbook.performance.limits.decision import Claim, Window
from opsbook.performance.limits.memory import MemoryLimiter
from opsbook.performance.limits.shared import SharedLimiter
from tests.redis_server import running_redis

PER_MINUTE, PER_HOUR = 60, 1000
WINDOWS = (Window(PER_MINUTE, 60.0), Window(PER_HOUR, 3600.0))
THEIRS = (parse(f"{PER_MINUTE}/minute"), parse(f"{PER_HOUR}/hour"))
CALLS_OF_A_KEY = 50
"""All of them admitted."""
ROUNDS = 300
REDIS_ROUNDS = 60
TASKS = 64
CALLS_OF_A_TASK = 8
PATIENCE_SECONDS = 5.0
"""So long that a busy machine is not taken for a dead Redis."""


def main() -> None:
    in_memory()
    with running_redis() as server:
        asyncio.run(on_redis(server.url))


def in_memory() -> None:
    """Each round asks for a new key, until shortly before its limit."""
    limiter = MemoryLimiter()
    peers = (MovingWindowRateLimiter, FixedWindowRateLimiter, SlidingWindowCounterRateLimiter)
    medians = in_turns(
        {
            "ours": for_new_keys(admitting(limiter)),
            "told": for_new_keys(deciding(limiter)),
            **{peer.__name__: for_new_keys(hitting(peer(MemoryStorage()))) for peer in peers},
        },
        rounds=ROUNDS,
        calls=CALLS_OF_A_KEY,
    )
    ours, told, moving, *_ = medians.values()
    what = f"a check of two windows in memory, median of {ROUNDS} × {CALLS_OF_A_KEY}"
    figure("limit_memory", what, ours, "µs")
    figure("limit_memory_told", f"{what}, with what is left in each and until when", told, "µs")
    share("limit_memory_moving", f"{what}, in times of `limits`' moving window", ours, "MovingWindow", moving, 1 / 6)
    fastest = min(peers, key=lambda peer: medians[peer.__name__]).__name__
    what = f"{what}, in times of `limits`' fastest strategy"
    share("limit_memory_fastest", what, ours, fastest.removesuffix("RateLimiter"), medians[fastest], 1 / 4)


def for_new_keys(ask: Callable[[str], None]) -> Callable[[], None]:
    keys = (f"203.0.113.{number}" for number in itertools.count())
    return lambda: ask(next(keys))


def admitting(limiter: MemoryLimiter) -> Callable[[str], None]:
    def ask(key: str) -> None:
        for _ in range(CALLS_OF_A_KEY):
            limiter.admit("default", key, WINDOWS)

    return ask


def deciding(limiter: MemoryLimiter) -> Callable[[str], None]:
    def ask(key: str) -> None:
        for _ in range(CALLS_OF_A_KEY):
            limiter.decide([Claim("default", key, 1, WINDOWS)])

    return ask


def hitting(limiter: RateLimiter) -> Callable[[str], None]:
    minute, hour = THEIRS

    def ask(key: str) -> None:
        for _ in range(CALLS_OF_A_KEY):
            limiter.hit(minute, key)
            limiter.hit(hour, key)

    return ask


async def on_redis(url: str) -> None:
    """One after the other, and so many tasks at once, each with a key of its own."""
    link = RedisLink(url, patience_seconds=PATIENCE_SECONDS)
    theirs = AsyncMovingWindowRateLimiter(RedisStorage(f"async+redis+{url}", implementation="redispy"))
    async with aclosing(SharedLimiter(link, "benchmark")) as limiter, aclosing(link):

        async def ours(key: str) -> None:
            await limiter.decide([Claim("default", key, 1, WINDOWS)])

        async def peer(key: str) -> None:
            for limit in THEIRS:
                await theirs.hit(limit, key)

        checks = {"ours": ours, "theirs": peer}
        for name, manner, most, calls, contestants in (
            ("sequential", "one after the other", 1 / 2, CALLS_OF_A_KEY, sequentially(checks)),
            ("at_once", f"{TASKS} tasks at once", 1 / 8, TASKS * CALLS_OF_A_TASK, at_once(checks)),
        ):
            await asyncio.gather(*(run() for run in contestants.values()))  # connects, and loads the scripts
            medians = await in_turns_async(contestants, rounds=REDIS_ROUNDS, calls=calls)
            what = f"a check of two windows on Redis, {manner}, median of {REDIS_ROUNDS} × {calls}"
            share(
                f"limit_redis_{name}",
                f"{what}, in times of `limits`' moving window",
                medians["ours"],
                "MovingWindow",
                medians["theirs"],
                most,
            )


Check = Callable[[str], Awaitable[None]]


def sequentially(checks: Mapping[str, Check]) -> dict[str, Callable[[], Awaitable[None]]]:
    return {name: asked_in_turn(name, check) for name, check in checks.items()}


def asked_in_turn(name: str, check: Check) -> Callable[[], Awaitable[None]]:
    keys = (f"{name} {number}" for number in itertools.count())

    async def run() -> None:
        key = next(keys)
        for _ in range(CALLS_OF_A_KEY):
            await check(key)

    return run


def at_once(checks: Mapping[str, Check]) -> dict[str, Callable[[], Awaitable[None]]]:
    return {name: asked_at_once(name, check) for name, check in checks.items()}


def asked_at_once(name: str, check: Check) -> Callable[[], Awaitable[None]]:
    rounds = itertools.count()

    async def task(key: str) -> None:
        for _ in range(CALLS_OF_A_TASK):
            await check(key)

    async def run() -> None:
        number = next(rounds)
        await asyncio.gather(*(task(f"{name} {number} {one}") for one in range(TASKS)))

    return run


if __name__ == "__main__":
    main()
