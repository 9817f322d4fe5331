"""The cache's levers: SQL, HTTP and the command line have every process forget; what it does is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

import opsbook
from opsbook.core.bus import Bus
from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import Settings, load_settings
from opsbook.performance.cache.follower import Follower
from opsbook.performance.cache.process import process
from tests.command_line import opsbook as typed
from tests.performance.cache.conftest import NOWHERE
from tests.performance.cache.helpers import until
from tests.redis_server import RedisServer


@pytest.fixture(params=["memory alone", "on Redis"])
def following(request: pytest.FixtureRequest, ops_url: str, redis_server: RedisServer) -> Iterator[None]:
    """This process follows the ops database, as a service does in which Opsbook is installed."""
    on_redis = request.param == "on Redis"
    settings: dict[str, Any] = {"ops_database_url": ops_url, "home": NOWHERE}
    if on_redis:
        settings["redis_url"] = redis_server.url
    link = RedisLink(redis_server.url, patience_seconds=5.0) if on_redis else None
    process.configure(load_settings(**settings), link)
    bus = Bus(ops_url)
    follower = Follower(process, bus)
    bus.start()
    until(lambda: follower.is_ready)
    yield
    follower.stop()
    bus.stop(timeout=0)
    if link is not None:
        link.close()


@opsbook.cached(tags="user:{user}", name="shop.profile")
def profile(user: str) -> int:
    return time.time_ns()


SAYINGS = [("tag", "user:ada"), ("function", "shop.profile"), ("all", "")]


@pytest.mark.usefixtures("following")
@pytest.mark.parametrize(("kind", "target"), SAYINGS)
def test_sql_has_every_process_forget(database: psycopg.Connection, kind: str, target: str) -> None:
    old = profile("ada")
    assert profile("ada") == old
    database.execute("insert into cache_purges (kind, target) values (%s, %s)", (kind, target))
    until(lambda: profile("ada") != old)


@pytest.mark.usefixtures("following")
@pytest.mark.parametrize("given", [{"tag": "user:ada"}, {"function": "shop.profile", "key": '["ada"]'}, {"all": True}])
def test_http_has_every_process_forget(
    api: httpx.Client, database: psycopg.Connection, given: dict[str, object], ops_url: str
) -> None:
    old = profile("ada")
    answer = api.post("/api/admin/cache/purge", json={**given, "reason": "corrected"})
    assert answer.status_code == 200, answer.text
    until(lambda: profile("ada") != old)
    last = "select actor_kind, action, reason from security_audit order by id desc limit 1"
    assert database.execute(last).fetchone() == ("admin_token", "cache.purge", "corrected")


@pytest.mark.usefixtures("following")
def test_the_command_line_has_every_process_forget(ops_url: str) -> None:
    old = profile("ada")
    command = ("cache", "purge", "--tag", "user:ada")
    assert typed(*command, "--dry-run", OPSBOOK_DATABASE_URL=ops_url).code == 0
    assert typed(*command, OPSBOOK_DATABASE_URL=ops_url).code == 2
    assert profile("ada") == old
    assert (
        typed(*command, "--yes", OPSBOOK_DATABASE_URL=ops_url).out
        == "forgotten: cached results with the tag 'user:ada'\n"
    )
    until(lambda: profile("ada") != old)


def test_the_command_line_tells_redis_even_where_nobody_follows(
    on_redis: Callable[..., RedisLink], redis_server: RedisServer, ops_url: str
) -> None:
    on_redis()
    old = profile("ada")
    environment = {"OPSBOOK_DATABASE_URL": ops_url, "REDIS_URL": redis_server.url, "ENVIRONMENT": "tests"}
    assert typed("cache", "purge", "--function", "shop.profile", "--yes", **environment).code == 0
    until(lambda: profile("ada") != old)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tag": "a", "all": True},
        {"tag": ""},
        {"key": "[1]"},
        {"function": "f", "key": "{}"},
        {"function": "f", "key": "[" * 9000},
    ],
)
def test_a_purge_says_what_it_means(api: httpx.Client, given: dict[str, object]) -> None:
    assert api.post("/api/admin/cache/purge", json=given).status_code == 422


@pytest.mark.parametrize(
    ("kind", "target"), [("all", "x"), ("tag", ""), ("key", "f"), ("everything", "x"), ("tag", "x" * 1001)]
)
def test_sql_says_what_it_means(database: psycopg.Connection, kind: str, target: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute("insert into cache_purges (kind, target) values (%s, %s)", (kind, target))


def test_what_the_cache_does_is_told_everywhere(api: httpx.Client, settings: Settings, ops_url: str) -> None:
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
    import asyncio

    from opsbook.core.postgres.connect import connect
    from opsbook.performance.cache import store

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


def test_a_process_without_redis_tells_the_others_by_the_ops_database(
    ops_url: str, database: psycopg.Connection
) -> None:
    process.configure(load_settings(ops_database_url=ops_url, home=NOWHERE, environment="teller"))
    profile("bob")
    profile.invalidate("bob")

    def purges() -> list[tuple[object, ...]]:
        return database.execute(
            "select kind, target, length(digest) from cache_purges where origin = 'service'"
        ).fetchall()

    until(lambda: purges() == [("key", "shop.profile", 16)])
