"""What the cache does is counted, and told the same by HTTP, command line and `/metrics`."""

from __future__ import annotations

import asyncio

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

import opsbook
from opsbook.core.postgres.connect import connect
from opsbook.core.settings import load_settings
from opsbook.performance.cache import store
from opsbook.performance.cache.process import process
from tests.command_line import opsbook as typed
from tests.performance.cache.conftest import NOWHERE


def test_what_the_cache_does_is_told_everywhere(api: httpx.Client, ops_url: str) -> None:
    process.configure(load_settings(ops_database_url=ops_url, home=NOWHERE, environment="told"))

    @opsbook.cached(name="shop.told")
    def told(value: int) -> int:
        return value

    for value in (1, 1, 1, 2):
        told(value)
    process.courier.report()
    told(1)
    process.courier.report()
    process.courier.report()
    (row,) = [each for each in api.get("/api/admin/cache").json() if each["function"] == "shop.told"]
    assert (row["hits"], row["misses"], row["hit_rate"], row["entries"]) == (3, 2, 0.6, 2)
    assert row["bytes"] > 0
    assert row["seconds_saved"] == pytest.approx(row["seconds"] * 3 / 2)
    (same,) = [
        each
        for each in typed("cache", "stats", "--json", OPSBOOK_DATABASE_URL=ops_url).json
        if each["function"] == "shop.told"
    ]
    assert same == row
    assert "shop.told" in typed("cache", "stats", OPSBOOK_DATABASE_URL=ops_url).out
    samples = {
        (sample.name, sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(api.get("/metrics").text)
        for sample in family.samples
        if sample.labels.get("function") == "shop.told"
    }
    assert samples["opsbook_cache_calls_total", "hits"] == 3
    assert samples["opsbook_cache_entries", None] == 2


def test_old_hours_are_folded_so_that_counters_never_fall(database: psycopg.Connection) -> None:
    async def tidied() -> int:
        async with connect(database.info.dsn + f" password={database.info.password}", "tests") as connection:
            await store.tidy(connection)
            await store.tidy(connection)
            return next(each.hits for each in await store.statistics(connection) if each.function == "old")

    for days, hits in ((100, 1), (50, 2), (1, 4)):
        database.execute(
            "insert into cache_statistics (hour, function, hits) values (now() - make_interval(days => %s), 'old', %s)",
            (days, hits),
        )
    assert asyncio.run(tidied()) == 7
    assert database.execute("select count(*) from cache_statistics where function = 'old'").fetchone() == (2,)
