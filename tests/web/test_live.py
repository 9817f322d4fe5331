"""What an open page is told: the newest of each topic, however much there was while it did not read."""

from __future__ import annotations

import asyncio

import pytest

from opsbook.web.live import _News

pytestmark = pytest.mark.anyio


async def test_a_page_that_does_not_read_costs_one_revision_a_topic() -> None:
    news = _News()
    for revision in range(10_000):
        news.hear("flags", revision)
    news.hear("audit", 3)
    assert await news.taken(0) == {"flags": 9_999, "audit": 3}
    assert await news.taken(0) == {}, "what was taken is not told again"


async def test_news_are_told_at_once() -> None:
    news = _News()
    asyncio.get_running_loop().call_soon(news.hear, "flags", 1)
    async with asyncio.timeout(10):
        assert await news.taken(60) == {"flags": 1}
