"""Schedules: the worker takes each step once, in the name of who planned it; a kill pauses them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from opsbook.chapters import CHAPTERS
from opsbook.core.jobs import job_app
from opsbook.core.postgres.connect import connect
from opsbook.core.settings import load_settings
from opsbook.flags.schedules import store
from tests.command_line import Typed, opsbook
from tests.flags.helpers import create

FUTURE = "2099-01-01T00:00:00Z"


def test_a_ramp_goes_up_step_by_step(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "ramped", enabled=False)
    made = typed(ops_url, "ramp", "ramped", "--steps", "1,5,100", "--every", "1d", "--yes", "--json").json
    seen = []
    for _ in range(3):
        run_due(ops_url)
        seen.append(state(database, "ramped"))
        run_due(ops_url)
        assert state(database, "ramped") == seen[-1], "a step is taken once"
        a_day_passes(database, made["id"])
    assert seen == [(True, 1), (True, 5), (True, 100)]
    assert typed(ops_url, "list", "ramped", "--json").json == []
    finished = typed(ops_url, "list", "ramped", "--finished", "--json").json
    assert [each["done"] for each in finished] == [3]


def test_late_runs_take_the_newest_step_once(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "late", enabled=False)
    number = schedule(database, "late", "ramp", {"enabled": True, "rollout_percentage": 1}, {"rollout_percentage": 5})
    before = revision(database)
    assert run_due(ops_url) == [number]
    assert state(database, "late") == (True, 5)
    assert revision(database) == before + 1


def test_two_workers_never_take_a_step_twice(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "contested", enabled=False)
    number = schedule(database, "contested", "dates", {"enabled": True})
    with ThreadPoolExecutor(4) as workers:
        ran = [each for found in workers.map(lambda _: run_due(ops_url), range(4)) for each in found]
    assert ran == [number]


def test_it_acts_in_the_name_of_who_planned_it(ops_url: str, api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "owned", enabled=False)
    body = {"flag": "owned", "on_at": "2020-01-01T00:00:00Z"}
    number = api.post("/api/admin/flag-schedules", json=body).json()["id"]
    run_due(ops_url)
    history = api.get("/api/admin/feature-flags/owned/history").json()[0]
    assert (history["actor"], history["actor_kind"], history["reason"]) == (
        "ADMIN_TOKEN",
        "admin_token",
        f"schedule {number}",
    )
    actions = database.execute(
        "select action from security_audit where target = 'owned' and action like 'flag_schedule%' order by id"
    ).fetchall()
    assert actions == [("flag_schedule.create",), ("flag_schedule.change",)]


def test_nobody_schedules_in_anothers_name(database: psycopg.Connection) -> None:
    create(database, "forged")
    steps = Jsonb([{"at": FUTURE, "enabled": True}])
    row = database.execute(
        "insert into flag_schedules (flag, steps, made_by, made_by_kind) values ('forged', %s, 'boss', 'operator')"
        " returning id, made_by, made_by_kind",
        [steps],
    ).fetchone()
    assert row is not None
    assert row[1:] == ("opsbook", "sql")
    row = database.execute(
        "update flag_schedules set made_by = 'boss' where id = %s returning made_by", row[:1]
    ).fetchone()
    assert row == ("opsbook",)


def test_a_kill_pauses_until_resumed_by_hand(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "stopped", enabled=False)
    number = schedule(database, "stopped", "ramp", {"enabled": True, "rollout_percentage": 1})
    database.execute("update feature_flags set kill_switch = true where name = 'stopped'")
    assert run_due(ops_url) == []
    assert typed(ops_url, "list", "stopped", "--json").json[0]["paused_because"] == "the flag was killed"
    refused = typed(ops_url, "resume", str(number), "--yes")
    assert (refused.code, "killed" in refused.err) == (3, True)
    database.execute("update feature_flags set kill_switch = false where name = 'stopped'")
    assert run_due(ops_url) == [], "reviving is not resuming"
    assert typed(ops_url, "resume", str(number), "--yes").code == 0
    a_day_passes(database, number)
    assert run_due(ops_url) == [number]


def test_a_kill_and_a_revive_between_two_runs_stop_it_too(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "revived", enabled=False)
    number = schedule(database, "revived", "dates", {"enabled": True})
    for killed in (True, False):
        database.execute("update feature_flags set kill_switch = %s where name = 'revived'", [killed])
    assert run_due(ops_url) == []
    assert typed(ops_url, "list", "revived", "--json").json[0]["paused_because"] == "the flag was killed"
    assert typed(ops_url, "resume", str(number), "--yes").code == 0
    assert run_due(ops_url) == [number]


def test_a_kill_waits_for_nobody_who_changes_schedules(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "urgent", enabled=False)
    number = schedule(database, "urgent", "dates", {"enabled": True})
    with psycopg.connect(ops_url) as slow, psycopg.connect(ops_url, autocommit=True) as operator:
        slow.execute("update flag_schedules set kind = 'ramp' where id = %s", [number])
        operator.execute("set lock_timeout = '1s'")
        operator.execute("update feature_flags set kill_switch = true where name = 'urgent'")
    assert run_due(ops_url) == []


def test_a_step_waits_for_the_next_minute_where_its_flag_is_held(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "busy", enabled=False)
    number = schedule(database, "busy", "dates", {"enabled": True})
    with psycopg.connect(ops_url) as writer:
        writer.execute("update feature_flags set description = 'held' where name = 'busy'")
        assert run_due(ops_url) == []
    assert run_due(ops_url) == [number]


def test_it_stops_with_its_makers_rights(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "orphaned", enabled=False)
    database.execute("insert into operators (email, name, role) values ('leaver@example.org', 'Leaver', 'operator')")
    with database.transaction():
        database.execute("select set_config('opsbook.actor', 'leaver@example.org', true)")
        database.execute("select set_config('opsbook.actor_kind', 'operator', true)")
        number = schedule(database, "orphaned", "dates", {"enabled": True})
    database.execute("update operators set disabled_at = now() where email = 'leaver@example.org'")
    assert run_due(ops_url) == []
    (held,) = typed(ops_url, "list", "orphaned", "--json").json
    assert held["paused_because"] == "leaver@example.org may no longer change flags"
    resumed = typed(ops_url, "resume", str(number), "--yes", "--json").json
    assert resumed["made_by_kind"] == "cli"
    assert run_due(ops_url) == [number]


def test_who_changes_it_is_whom_it_acts_for(ops_url: str, api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "passed-on", enabled=False)
    number = api.post("/api/admin/flag-schedules", json={"flag": "passed-on", "on_at": FUTURE}).json()["id"]
    typed(ops_url, "pause", str(number))
    assert typed(ops_url, "list", "passed-on", "--json").json[0]["made_by"] == "ADMIN_TOKEN"
    database.execute("update flag_schedules set steps = jsonb_set(steps, '{0,enabled}', 'false')")
    assert typed(ops_url, "list", "passed-on", "--json").json[0]["made_by"] == "opsbook"


def test_a_step_on_a_killed_flag_is_not_taken(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "dead", enabled=False, kill_switch=True)
    schedule(database, "dead", "dates", {"enabled": True})
    assert run_due(ops_url) == []
    assert typed(ops_url, "list", "dead", "--json").json[0]["paused_because"] == "the flag was killed"


def test_a_resumed_ramp_goes_on_from_where_it_stood(ops_url: str, database: psycopg.Connection) -> None:
    for name in ("ramp", "dates"):
        create(database, name)
        number = schedule(database, name, name, {"enabled": True}, at=timedelta(hours=1))
        typed(ops_url, "pause", str(number))
        database.execute("update flag_schedules set paused_at = now() - interval '1 day' where id = %s", [number])
        typed(ops_url, "resume", str(number), "--yes")
    due = {each["flag"]: hours_until(each["next_step"]["at"]) for each in typed(ops_url, "list", "--json").json}
    assert (due["ramp"], due["dates"]) == (25, 1)


def test_a_step_that_is_refused_pauses_the_rest(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "refused", enabled=False)
    schedule(database, "refused", "dates", {"enabled": True})
    database.execute("alter table feature_flags add constraint never check (name <> 'refused' or not enabled)")
    create(database, "unharmed", enabled=False)
    schedule(database, "unharmed", "dates", {"enabled": True})
    run_due(ops_url)
    assert "never" in typed(ops_url, "list", "refused", "--json").json[0]["paused_because"]
    assert state(database, "unharmed")[0] is True
    database.execute("alter table feature_flags drop constraint never")


def test_the_worker_does_it(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "worked", enabled=False)
    schedule(database, "worked", "dates", {"enabled": True})
    asyncio.run(work(ops_url))
    assert state(database, "worked")[0] is True


def test_remove(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "removed", enabled=False)
    number = schedule(database, "removed", "dates", {"enabled": True})
    assert typed(ops_url, "remove", str(number)).code == 2
    assert typed(ops_url, "remove", str(number), "--yes").code == 0
    assert typed(ops_url, "remove", str(number), "--yes").code == 3
    run_due(ops_url)
    assert state(database, "removed")[0] is False


def test_a_dry_run_plans_nothing(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "dry")
    shown = typed(ops_url, "add", "dry", "--on-at", "2h", "--off-at", "3d", "--dry-run")
    assert "would schedule dry: on at" in shown.out
    assert typed(ops_url, "list", "dry", "--json").json == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "known"),
        ("add", "known", "--on-at", "yesterday"),
        ("ramp", "known", "--steps", "5,1"),
        ("ramp", "known", "--steps", "1,nan"),
        ("ramp", "known", "--steps", "1.001"),
        ("ramp", "known", "--steps", "x"),
        ("ramp", "known", "--every", "5s"),
    ],
)
def test_what_is_no_plan_is_refused(ops_url: str, arguments: tuple[str, ...]) -> None:
    assert typed(ops_url, *arguments, "--yes").code == 2


def test_an_unknown_flag_has_no_schedule(ops_url: str, api: httpx.Client) -> None:
    assert typed(ops_url, "ramp", "no-such-flag", "--yes").code == 3
    body = {"flag": "no-such-flag", "off_at": FUTURE}
    assert api.post("/api/admin/flag-schedules", json=body).status_code == 404


def test_the_api_plans_pauses_resumes_and_removes(api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "by-api")
    body = {"flag": "by-api", "ramp": {"percentages": [10, 100], "every_minutes": 60, "start": FUTURE}}
    answer = api.post("/api/admin/flag-schedules", json=body)
    assert answer.status_code == 201
    path = f"/api/admin/flag-schedules/{answer.json()['id']}"
    assert api.post(f"{path}/resume").status_code == 409
    assert api.post(f"{path}/pause").json()["paused_because"] == "by hand"
    assert api.post(f"{path}/pause").status_code == 409
    assert api.post(f"{path}/resume").json()["paused_at"] is None
    assert [each["kind"] for each in api.get("/api/admin/flag-schedules", params={"flag": "by-api"}).json()] == ["ramp"]
    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"on_at": FUTURE, "ramp": {"percentages": [1], "every_minutes": 1}},
        {"on_at": 5},
        {"on_at": "2099-01-01T00:00:00"},
        {"ramp": {"percentages": [], "every_minutes": 1}},
        {"ramp": {"percentages": [1, 5], "every_minutes": 0}},
        {"ramp": {"percentages": [1, 1], "every_minutes": 1}},
        {"ramp": {"percentages": [1e300], "every_minutes": 1}},
    ],
)
def test_the_api_refuses_what_is_no_plan(api: httpx.Client, given: dict[str, Any]) -> None:
    assert api.post("/api/admin/flag-schedules", json={"flag": "by-api", **given}).status_code == 422


@pytest.mark.parametrize(
    "given",
    [
        {"on_at": "0001-01-01T00:00:00+05:00"},
        {"ramp": {"percentages": [1, 5], "every_minutes": 60, "start": "9999-12-31T23:30:00Z"}},
    ],
)
def test_the_calendar_has_an_end(api: httpx.Client, given: dict[str, Any]) -> None:
    answer = api.post("/api/admin/flag-schedules", json={"flag": "by-api", **given})
    assert (answer.status_code, "title" in answer.json()) == (409, True)


@pytest.mark.parametrize(
    "steps",
    [[], {}, [{"at": FUTURE}], [{"enabled": True}], [{"at": "soon", "enabled": True}], [{"at": FUTURE, "kill": True}],
     [{"at": FUTURE, "enabled": True}] * 2, [{"at": FUTURE, "rollout_percentage": 101}], [5], "x"],
)  # fmt: skip
def test_sql_refuses_what_is_no_plan(database: psycopg.Connection, steps: object) -> None:
    create(database, "by-sql")
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            database.execute(
                "insert into flag_schedules (flag, steps, made_by, made_by_kind) values ('by-sql', %s, '', '')",
                [Jsonb(steps)],
            )
    finally:
        database.execute("delete from feature_flags where name = 'by-sql'")


def typed(url: str, *arguments: str) -> Typed:
    return opsbook("flags", "schedule", *arguments, OPSBOOK_DATABASE_URL=url)


def schedule(
    database: psycopg.Connection, flag: str, kind: str, *fields: dict[str, Any], at: timedelta = timedelta(hours=-1)
) -> int:
    """A schedule whose steps are a minute apart, the first an hour ago."""
    start = datetime.now(UTC) + at
    steps = [{"at": (start + timedelta(minutes=place)).isoformat(), **each} for place, each in enumerate(fields)]
    row = database.execute(
        "insert into flag_schedules (flag, kind, steps, made_by, made_by_kind)"
        " values (%s, %s, %s, '', '') returning id",
        [flag, kind, Jsonb(steps)],
    ).fetchone()
    assert row is not None
    return int(row[0])


def a_day_passes(database: psycopg.Connection, number: int) -> None:
    """As seen by a schedule: each of its steps is a day nearer."""
    database.execute(
        """
        update flag_schedules set steps = (
            select jsonb_agg(step || jsonb_build_object('at', to_char(
                ((step ->> 'at')::timestamptz - interval '1 day') at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
            )) order by place)
            from jsonb_array_elements(steps) with ordinality as t (step, place)
        ) where id = %s
        """,
        [number],
    )


def run_due(url: str) -> list[int]:
    async def running() -> list[int]:
        async with connect(url, "test worker") as connection:
            return list(await store.run_due(connection))

    return asyncio.run(running())


async def work(url: str) -> None:
    """The worker's task itself, run once: to wait for its minute would take a minute."""
    app = job_app(url, CHAPTERS)
    async with app.open_async():
        task = next(task for name, task in app.tasks.items() if name.endswith(".run_schedules"))
        await task.defer_async(timestamp=0)
        settings = load_settings(ops_database_url=url)
        await app.run_worker_async(wait=False, install_signal_handlers=False, additional_context={"settings": settings})


def state(database: psycopg.Connection, flag: str) -> tuple[bool, float]:
    row = database.execute("select enabled, rollout_percentage from feature_flags where name = %s", [flag]).fetchone()
    assert row is not None
    return bool(row[0]), float(row[1])


def revision(database: psycopg.Connection) -> int:
    row = database.execute("select revision from revisions where topic = 'flags'").fetchone()
    assert row is not None
    return int(row[0])


def hours_until(moment: str) -> int:
    return round((datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds() / 3600)
