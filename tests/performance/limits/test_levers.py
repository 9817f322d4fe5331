"""The levers: SQL, API and command change a limit in every worker at once, are audited, and go back by themselves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psycopg
import pytest

from opsbook.core.audit import acting
from opsbook.core.bus import Bus
from opsbook.core.postgres.connect import connect
from opsbook.core.settings import Settings
from opsbook.performance import LimitRegister, RateLimit, RateLimits
from opsbook.performance.limits import reporting, store
from tests.command_line import Typed, opsbook
from tests.performance.limits.service import DEADLINE_SECONDS, Service, limited_service, until

POLICY = RateLimit("levered", per_minute=1000, per_hour=5000)


@pytest.fixture(scope="module")
def services(settings: Settings) -> Iterator[list[Service]]:
    """Two workers of one service."""
    route = RateLimit("of-one-route", per_day=7)
    with limited_service(settings, POLICY, route=route) as one, limited_service(settings, POLICY) as other:
        yield [one, other]


@pytest.fixture(autouse=True)
def _as_declared(services: list[Service], database: psycopg.Connection) -> Iterator[None]:
    until(lambda: rows(database, "select policy from rate_limits where policy = 'levered'"))
    yield
    database.execute(
        "update rate_limits set per_minute = null, per_hour = null, mode = 'enforce' where policy = 'levered'"
    )
    obeyed(services, 1000)


def test_sql_is_obeyed_by_every_worker(services: list[Service], database: psycopg.Connection) -> None:
    database.execute("update rate_limits set per_minute = 300 where policy = 'levered'")
    obeyed(services, 300)
    audited = rows(database, "select action, actor_kind, before, after from security_audit order by id desc limit 1")[0]
    assert audited[:3] == ("rate_limit.change", "sql", None)
    assert audited[3]["per_minute"] == 300
    assert rows(database, "select updated_by from rate_limits where policy = 'levered'") == [
        (rows(database, "select session_user")[0][0],)
    ]


def test_the_command_says_what_it_touches_and_changes_it(services: list[Service], ops_url: str) -> None:
    until(lambda: typed(ops_url, "show", "levered", "--json").json["processes"] == 2)
    dry = typed(ops_url, "set", "levered", "--per-minute", "70", "--dry-run")
    assert (dry.code, "70 per minute instead of 1,000 per minute" in dry.out) == (0, True), dry
    assert "2 processes count it" in dry.out
    assert services[0].limit_in_force() == 1000
    done = typed(
        ops_url, "set", "levered", "--per-minute", "70", "--for", "2h", "--reason", "why not", "--yes", "--json"
    )
    assert done.json["in_force"] == {"per_minute": 70, "per_hour": 5000}
    assert (done.json["reason"], done.json["until"] is not None) == ("why not", True)
    obeyed(services, 70)
    assert typed(ops_url, "set", "levered", "--per-hour", "400", "--yes", "--json").json["set"] == {
        "per_minute": 70,
        "per_hour": 400,
    }
    assert typed(ops_url, "reset", "levered", "--yes").code == 0
    obeyed(services, 1000)


def test_the_command_refuses_what_makes_no_sense(ops_url: str) -> None:
    assert typed(ops_url, "set", "levered", "--per-minute", "0", "--yes").code == 2
    assert typed(ops_url, "set", "levered", "--yes").code == 2
    assert typed(ops_url, "set", "nobody", "--per-minute", "1", "--yes").code == 3
    assert typed(ops_url, "set", "levered", "--per-minute", "1").code == 2, "nobody to ask"
    assert typed(ops_url, "show", "nobody").code == 3


def test_the_api_replaces_and_resets(services: list[Service], api: httpx.Client) -> None:
    path = "/api/admin/rate-limits/levered"
    assert api.put(path, json={"per_minute": 90, "reason": "a test"}).json()["in_force"]["per_minute"] == 90
    obeyed(services, 90)
    replaced = api.put(path, json={"per_hour": 80, "for_seconds": 3600}).json()
    assert (replaced["set"], replaced["until"] is not None) == ({"per_hour": 80}, True)
    assert api.delete(path, params={"reason": "done"}).json()["is_changed"] is False
    obeyed(services, 1000)
    assert api.put(path, json={"per_minute": 0}).status_code == 422
    assert api.put(path, json={"until": "2001-01-01T00:00:00Z", "per_minute": 5}).status_code == 422
    assert api.get("/api/admin/rate-limits/nobody").status_code == 404
    assert "levered" in [limit["policy"] for limit in api.get("/api/admin/rate-limits").json()]


def test_only_operators_change_limits_or_see_keys(api: httpx.Client, server: str) -> None:
    made = api.post("/api/admin/tokens", json={"name": "reader", "role": "viewer", "scopes": ["performance:read"]})
    assert made.status_code == 201, made.text
    with httpx.Client(base_url=server, headers={"Authorization": f"Bearer {made.json()['token']}"}) as viewer:
        assert viewer.get("/api/admin/rate-limits").status_code == 200
        assert viewer.get("/api/admin/rate-limits/levered/history").status_code == 200
        assert viewer.get("/api/admin/rate-limits/levered/keys").status_code == 403
        assert viewer.put("/api/admin/rate-limits/levered", json={"per_minute": 5}).status_code == 403
    assert httpx.get(f"{server}/api/admin/rate-limits").status_code == 401


def test_a_change_ends_by_each_workers_own_clock(services: list[Service], database: psycopg.Connection) -> None:
    database.execute(
        "update rate_limits set per_minute = 40, until = now() + interval '1 hour' where policy = 'levered'"
    )
    obeyed(services, 40)
    with ExitStack() as stack:
        for service in services:
            stack.enter_context(patch.object(service.limits, "clock", lambda: time.monotonic() + 3601))
        obeyed(services, 1000)
    assert rows(database, "select per_minute from rate_limits where policy = 'levered'") == [(40,)], (
        "the worker has not been there yet"
    )


def test_without_the_database_the_last_state_stays_also_after_a_restart(
    services: list[Service], settings: Settings, database: psycopg.Connection, tmp_path: Path
) -> None:
    database.execute(
        "update rate_limits set per_minute = 40, until = now() + interval '1 hour' where policy = 'levered'"
    )
    file, bus = tmp_path / "rate-limits", Bus(settings.require_url("ops"))
    limits = RateLimits([POLICY])
    register = LimitRegister(limits, bus, file)
    bus.start()
    try:
        until(lambda: limits.windows_of("levered")[0].limit == 40)
        until(file.exists)
        register.flush()
    finally:
        bus.stop()
    restarted = RateLimits([POLICY])
    LimitRegister(restarted, Bus("postgresql://opsbook@127.0.0.1:1/none"), file)
    assert [window.limit for window in restarted.windows_of("levered")] == [40, 5000]
    late = RateLimits([POLICY], clock=lambda: time.monotonic() + 3601)
    with patch.object(time, "time", lambda now=time.time: now() + 3601):
        LimitRegister(late, Bus("postgresql://opsbook@127.0.0.1:1/none"), file)
    assert late.windows_of("levered")[0].limit == 1000, "its time is over"


def test_the_worker_writes_down_what_went_back(database: psycopg.Connection, ops_url: str) -> None:
    database.execute(
        "update rate_limits set per_minute = 40, until = clock_timestamp() + interval '1 s' where policy = 'levered'"
    )
    until(lambda: rows(database, "select from rate_limits where until < now()"))
    assert asyncio.run(reset_over(ops_url)) == ["levered"]
    assert rows(database, "select per_minute, until from rate_limits where policy = 'levered'") == [(None, None)]
    audited = rows(database, "select action, actor_kind, reason from security_audit order by id desc limit 1")
    assert audited == [("rate_limit.reset", "system", "went back by itself")]


def test_what_is_over_is_not_taken_along_by_the_next_change(database: psycopg.Connection, ops_url: str) -> None:
    set_for_a_moment(database)
    done = typed(ops_url, "set", "levered", "--per-minute", "70", "--yes", "--json").json
    assert (done["set"], done["mode"], done["until"]) == ({"per_minute": 70}, "enforce", None)


def test_the_worker_takes_nothing_back_that_was_set_meanwhile(
    database: psycopg.Connection, ops_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_for_a_moment(database)

    def acting_late(*given: Any) -> Any:
        database.execute("update rate_limits set per_hour = 50, until = null where policy = 'levered'")
        return acting(*given)

    monkeypatch.setattr(store, "acting", acting_late)
    asyncio.run(reset_over(ops_url))
    assert rows(database, "select per_hour from rate_limits where policy = 'levered'") == [(50,)]


def test_limits_of_single_routes_are_listed_before_they_are_asked(services: list[Service], ops_url: str) -> None:
    until(lambda: typed(ops_url, "show", "of-one-route").code == 0)
    shown = typed(ops_url, "show", "of-one-route", "--json").json
    assert (shown["declared"], shown["processes"]) == ({"per_day": 7}, 1)
    assert services[0].statuses(8, "/route") == [200] * 7 + [429]


def test_declaring_leaves_no_trace_in_the_audit(database: psycopg.Connection) -> None:
    before = (
        rows(database, "select max(id) from security_audit"),
        rows(database, "select revision from rate_limits where policy = 'levered'"),
    )
    database.execute('update rate_limits set declared = declared || \'{"key": "other"}\'')
    database.execute('update rate_limits set declared = declared || \'{"key": "client_address"}\'')
    after = (
        rows(database, "select max(id) from security_audit"),
        rows(database, "select revision from rate_limits where policy = 'levered'"),
    )
    assert after == before


@pytest.mark.parametrize(
    "change",
    [
        "per_minute = 0",
        "per_day = 1000001",
        "mode = 'sometimes'",
        "per_minute = 5, until = now() - interval '1 s'",
        "per_minute = 5, until = 'infinity'",
        "policy = 'renamed'",
    ],
)
def test_sql_refuses_what_makes_no_sense(database: psycopg.Connection, change: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute(f"update rate_limits set {change} where policy = 'levered'".encode())


def test_observing_counts_and_refuses_nobody(services: list[Service], database: psycopg.Connection) -> None:
    database.execute("update rate_limits set per_minute = 1, mode = 'observe' where policy = 'levered'")
    until(lambda: "ratelimit" not in services[0].client.get("/").headers)
    assert set(services[0].statuses(5)) == {200}
    until(lambda: rows(database, "select from rate_limit_counts where policy = 'levered' and refused >= 3"))
    database.execute("update rate_limits set mode = 'off' where policy = 'levered'")
    until(lambda: services[0].statuses(1) == [200])


def test_lowering_and_raising_keep_the_history(services: list[Service], database: psycopg.Connection) -> None:
    service = services[0]
    used = 1000 - service.remaining()
    database.execute(f"update rate_limits set per_minute = {used + 3} where policy = 'levered'".encode())
    obeyed([service], used + 3)
    assert 429 in service.statuses(4)
    database.execute("update rate_limits set per_minute = 1000000 where policy = 'levered'")
    until(lambda: service.statuses(1) == [200])
    assert used < 1_000_000 - service.remaining()


def test_a_report_that_fails_is_not_the_last(
    services: list[Service], database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def failing(*_: object) -> None:
        failed.set()
        raise RuntimeError("dictionary changed size during iteration")

    with monkeypatch.context() as patched:
        patched.setattr(reporting.Reporter, "_send", failing)
        assert failed.wait(DEADLINE_SECONDS)
    before = seen(database)
    until(lambda: all(now > then for now, then in zip(seen(database), before, strict=True)))


def test_who_was_refused_is_found(services: list[Service], database: psycopg.Connection, ops_url: str) -> None:
    database.execute("update rate_limits set per_minute = 1 where policy = 'levered'")
    obeyed(services, 1)
    services[0].statuses(20)
    until(lambda: typed(ops_url, "show", "levered", "--json").json["refused_keys"])
    shown = typed(ops_url, "show", "levered")
    assert "127.0.0.1" in shown.out
    assert typed(ops_url, "show").code == 0
    assert asyncio.run(minutes(ops_url))


def test_several_processes_without_redis_are_told_of(services: list[Service], ops_url: str) -> None:
    until(lambda: typed(ops_url, "show", "levered", "--json").json["in_memory"] == 2)
    assert "set REDIS_URL" in " ".join(typed(ops_url, "show").err.split())
    until(lambda: services[0].limits.workers == 2 or services[1].limits.workers == 2)


def test_the_counts_are_measured(services: list[Service], api: httpx.Client) -> None:
    services[0].statuses(1)
    until(lambda: 'opsbook_rate_limit_requests_total{outcome="admitted",policy="levered"}' in api.get("/metrics").text)
    assert 'opsbook_rate_limit_in_force{policy="levered",window="minute"} 1000.0' in api.get("/metrics").text


def set_for_a_moment(database: psycopg.Connection) -> None:
    """Set it, and wait until that is over and the worker has not been there."""
    database.execute(
        "update rate_limits set per_hour = 40, mode = 'observe', until = clock_timestamp() + interval '0.5 s'"
        " where policy = 'levered'"
    )
    until(lambda: rows(database, "select from rate_limits where until < now()"))


def obeyed(services: Sequence[Service], limit: int) -> None:
    for service in services:
        until(lambda service=service: service.limit_in_force() == limit)


def seen(database: psycopg.Connection) -> list[Any]:
    return rows(database, "select seen_at from rate_limit_processes order by 1")


def typed(ops_url: str, *arguments: str) -> Typed:
    return opsbook("limits", *arguments, OPSBOOK_DATABASE_URL=ops_url)


def rows(database: psycopg.Connection, query: str) -> list[Any]:
    return database.execute(query.encode()).fetchall()


async def reset_over(ops_url: str) -> Any:
    async with connect(ops_url, "test") as connection:
        return await store.reset_over(connection)


async def minutes(ops_url: str) -> Any:
    async with connect(ops_url, "test") as connection:
        await store.tidy(connection)
        return await store.history(connection, "levered")
