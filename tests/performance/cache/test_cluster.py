"""`@cached` on a cluster of two nodes: entries, purges and what processes tell each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import opsbook
from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import load_settings
from opsbook.performance.cache.decorator import Cached
from opsbook.performance.cache.process import process
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.shared_purges import purge_shared
from opsbook.performance.cache.steps import carry_out
from tests.performance.cache.conftest import NOWHERE
from tests.performance.cache.helpers import forget_memory, until
from tests.redis_cluster import running_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with running_cluster() as url:
        yield url


@pytest.fixture
def link(cluster: str) -> Iterator[RedisLink]:
    link = RedisLink(cluster, patience_seconds=5.0)
    process.configure(load_settings(redis_url=cluster, home=NOWHERE, environment="cluster"), link)
    process.start()
    until(lambda: process.listener.is_hearing)
    yield link
    link.close()


def test_values_are_shared_and_purged(link: RedisLink) -> None:
    calls: list[tuple[str, int]] = []

    def cached_as(name: str) -> Cached[[int], int]:
        def read(value: int) -> int:
            calls.append((name, value))
            return value

        return opsbook.cached(name=name, tags="all")(read)

    functions = [cached_as(f"function-{number}") for number in range(8)]  # in slots of both nodes

    def ask() -> int:
        calls.clear()
        forget_memory()
        assert [function(1) for function in functions] == [1] * 8
        return len(calls)

    assert (ask(), ask()) == (8, 0)
    functions[0].invalidate(1)
    assert (ask(), ask()) == (1, 0)
    functions[1].purge()
    assert (ask(), ask()) == (1, 0)
    carry_out(process.purge(Purge("tag", "all")), lambda: None)
    assert (ask(), ask()) == (8, 0)
    calls.clear()
    carry_out(purge_shared(link, process.names, Purge("all"), sender="another process"), lambda: None)
    until(lambda: functions[7].statistics().entries == 0)
    assert (ask(), ask()) == (8, 0)


@pytest.mark.anyio
async def test_coroutines_share_too(link: RedisLink) -> None:
    @opsbook.cached(name="coroutine", tags="some")
    async def read(value: int) -> int:
        return value

    await read(1)
    forget_memory()
    assert await read(1) == 1
    assert read.statistics().shared_hits == 1
    await read.invalidate(1)
    await read.purge()
    assert await read(1) == 1
    assert read.statistics().misses == 2
    await link.aclose()
