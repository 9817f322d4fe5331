"""The cache's levers: SQL, HTTP and the command line have every process forget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

import opsbook
from opsbook.core.bus import Bus
from opsbook.core.redis_link import RedisLink
from opsbook.core.settings import load_settings
from opsbook.performance.cache import courier, reporting
from opsbook.performance.cache.follower import Follower
from opsbook.performance.cache.process import process
from opsbook.performance.cache.purges import Purge
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
def test_the_command_line_has_every_process_forget(ops_url: str, database: psycopg.Connection) -> None:
    def purges() -> object:
        return database.execute("select count(*) from cache_purges").fetchone()

    old, before = profile("ada"), purges()
    command = ("cache", "purge", "--tag", "user:ada")
    assert typed(*command, "--dry-run", OPSBOOK_DATABASE_URL=ops_url).code == 0
    assert typed(*command, OPSBOOK_DATABASE_URL=ops_url).code == 2
    assert purges() == before
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
        {"function": "f", "key": "[" * 600 + "]" * 600},
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


def test_two_who_report_at_once_tell_nothing_twice(ops_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process.configure(load_settings(ops_database_url=ops_url, home=NOWHERE, environment="reporter"))
    told: list[Sequence[Purge]] = []
    begun, go_on = threading.Event(), threading.Event()

    def report(_: str, __: str, ___: object, purges: Sequence[Purge]) -> None:
        told.append(purges)
        begun.set()
        assert go_on.wait(10)

    monkeypatch.setattr(reporting, "report", report)
    monkeypatch.setattr(courier, "_PATIENCE_SECONDS", 10.0)
    process.courier.tell(Purge("tag", "twice"))
    assert begun.wait(10)
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(process.courier.report)
        time.sleep(0.05)  # time enough to tell it, if nothing kept it from that
        go_on.set()
        other.result(10)
    assert sum(purges == (Purge("tag", "twice"),) for purges in told) == 1
