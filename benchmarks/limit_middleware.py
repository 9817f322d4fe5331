"""What rate limits add to a FastAPI request: in memory, and on Redis beside slowapi, which limits the same there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from fastapi import FastAPI
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from slowapi.util import get_remote_address

from benchmarks._beside import figure, share
from benchmarks._requests import costs, service
from opsbook import LimitMiddleware, RateLimit
from opsbook.core.redis_link import RedisLink
from opsbook.performance import RateLimits
from tests.redis_server import running_redis

PER_MINUTE, PER_HOUR = 60, 1000
REQUESTS_A_ROUND = 50
"""From one address, or from one each: all of them are admitted."""
ROUNDS = 400
REDIS_ROUNDS = 40
TARGET_MICROSECONDS = 25.0
MOST_OF_A_PEERS_COST = {SlowAPIMiddleware: 1 / 3, SlowAPIASGIMiddleware: None}
"""The one that slowapi tells to use, and the lighter one that it has beside it."""
PATIENCE_SECONDS = 5.0
"""So long that a busy machine is not taken for a dead Redis."""


def main() -> None:
    logging.disable(logging.CRITICAL)
    asyncio.run(in_memory())
    with running_redis() as server:
        asyncio.run(on_redis(server.url))


async def in_memory() -> None:
    ours = service()
    ours.add_middleware(LimitMiddleware, limits=[default()])
    added = await costs({"control": service(), "ours": ours}, service(), [callers(n) for n in range(ROUNDS)])
    what = f"two windows in memory on a FastAPI request, median of {ROUNDS} × {REQUESTS_A_ROUND}"
    beside = f"two requests without it differ by {abs(added['control']):.2f} µs"
    figure("limit_middleware_memory", what, added["ours"], "µs", TARGET_MICROSECONDS, peer=beside)


async def on_redis(url: str) -> None:
    """All are exact, and all tell in header fields what is left; slowapi holds up the event loop meanwhile."""
    link = RedisLink(url, patience_seconds=PATIENCE_SECONDS)
    limits = RateLimits([default()], link=link)
    ours = service()
    ours.add_middleware(LimitMiddleware, limits=limits)
    peers = {peer.__name__: slowapi_service(url, peer) for peer in MOST_OF_A_PEERS_COST}
    for name, manner, at_once in (("", "one after the other", False), ("_at_once", "at once", True)):
        rounds = [callers(n, at_once=at_once) for n in range(REDIS_ROUNDS)]
        added = await costs({"ours": ours, **peers}, service(), rounds, at_once=at_once)
        what = f"two windows on Redis on a FastAPI request, {REDIS_ROUNDS} × {REQUESTS_A_ROUND} {manner}"
        for peer, most in MOST_OF_A_PEERS_COST.items():
            share(
                f"limit_middleware_redis{name}_{peer.__name__}",
                f"{what}, in times of slowapi's {peer.__name__}",
                added["ours"],
                f"{peer.__name__}, moving window",
                added[peer.__name__],
                most,
            )
    await limits.aclose()
    await link.aclose()


def callers(number: int, *, at_once: bool = False) -> Sequence[str]:
    """The addresses of a round's requests: one, or others for each where they come at once."""
    if at_once:
        return [f"198.18.{number}.{one}" for one in range(REQUESTS_A_ROUND)]
    return [f"198.51.{number // 256}.{number % 256}"] * REQUESTS_A_ROUND


def default() -> RateLimit:
    return RateLimit("default", per_minute=PER_MINUTE, per_hour=PER_HOUR)


def slowapi_service(url: str, middleware: type[SlowAPIMiddleware | SlowAPIASGIMiddleware]) -> FastAPI:
    app = service()
    app.state.limiter = Limiter(
        key_func=get_remote_address,
        default_limits=[f"{PER_MINUTE}/minute", f"{PER_HOUR}/hour"],
        strategy="moving-window",
        storage_uri=f"redis+{url}",
        key_prefix=middleware.__name__,
        headers_enabled=True,
    )
    app.add_middleware(middleware)
    return app


if __name__ == "__main__":
    main()
