"""What the cache's tests share: no cache that outlives a test, and a Redis that can come to harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import load_settings
from opsbook.performance.cache.process import process
from tests.performance.cache.helpers import until
from tests.redis_server import RedisServer, running_redis

NOWHERE = "/nonexistent"


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """No Redis and no ops database, unless a test asks for them."""
    process.configure(load_settings(home=NOWHERE, environment="alone"))
    yield
    process.close()
    process.configure(load_settings(home=NOWHERE, environment="between"))


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def on_redis(redis_server: RedisServer) -> Iterator[Callable[..., RedisLink]]:
    """Puts the cache on the Redis; its patience is long, so that a busy machine is not taken for a dead Redis."""

    links: list[RedisLink] = []

    def put(patience_seconds: float = 5.0) -> RedisLink:
        link = RedisLink(redis_server.url, patience_seconds=patience_seconds)
        process.configure(load_settings(home=NOWHERE, redis_url=redis_server.url, environment="tests"), link)
        links.append(link)
        process.start()
        until(lambda: process.listener.is_hearing)
        return link

    yield put
    for link in links:
        link.close()
