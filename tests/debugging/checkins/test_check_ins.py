"""Check-ins by command, by plain address, by token and by SQL: one state, in the list and in health."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import psutil
import psycopg
import pytest

from opsbook.core.postgres.connect import connect
from opsbook.debugging.checkins.recording import find_overdue
from tests.command_line import Typed, opsbook
from tests.upping import until

ADMIN = "/api/admin/check-ins"


@pytest.fixture(autouse=True)
def _none_left_behind(database: psycopg.Connection) -> Iterator[None]:
    yield
    database.execute("delete from check_in_monitors")


def test_a_command_is_run_and_its_outcome_told(ops_url: str) -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = typed(ops_url, "check-in", "Nightly Backup", "--", sys.executable, "-c", script)
    assert done.code == 3, "the exit code is the command's"
    shown = typed(ops_url, "check-ins", "show", "nightly-backup", "--json").json
    assert (shown["state"], shown["failing"], shown["environment"]) == ("error", True, "development")
    [run] = shown["runs"]
    assert (run["status"], run["exit_code"]) == ("error", 3)
    assert run["duration_seconds"] > 0
    assert typed(ops_url, "check-in", "nightly-backup", "--", "true").code == 0
    assert typed(ops_url, "check-ins", "show", "nightly-backup", "--json").json["state"] == "ok"


@pytest.mark.parametrize(("command", "code"), [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_started_is_an_error(ops_url: str, command: str, code: int) -> None:
    done = typed(ops_url, "check-in", "broken", "--", command)
    assert (done.code, f"{command} could not be started" in done.err) == (code, True)
    assert typed(ops_url, "check-ins", "show", "broken", "--json").json["state"] == "error"


def test_a_command_runs_even_when_nobody_can_be_told() -> None:
    done = opsbook("check-in", "backup", "--", "sh", "-c", "exit 5")
    assert done.code == 5
    assert done.err.count("could not tell that backup") == 2


def test_whoever_stops_it_stops_the_command_and_that_is_told(ops_url: str) -> None:
    command = [sys.executable, "-m", "opsbook", "check-in", "stopped", "--", "sleep", "60"]
    with subprocess.Popen(command, env={**os.environ, "OPSBOOK_DATABASE_URL": ops_url}) as process:
        until(lambda: bool(psutil.Process(process.pid).children()))
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    [run] = typed(ops_url, "check-ins", "show", "stopped", "--json").json["runs"]
    assert (run["status"], run["exit_code"]) == ("error", 143)


def test_a_run_that_began_is_ended_by_the_next_word_of_it(ops_url: str) -> None:
    for status in ("in_progress", "ok", "ok"):
        assert typed(ops_url, "check-in", "sync", "--status", status).code == 0
    runs = typed(ops_url, "check-ins", "show", "sync", "--json").json["runs"]
    assert [run["status"] for run in runs] == ["ok", "ok"], "the third is a run of its own"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check-in", "x", "--schedule", "99 * * * *"),
        ("check-in", "x", "--schedule", "@daily", "--timezone", "Mars/Olympus"),
        ("check-in", "x", "--margin", "soon"),
        ("check-in", "x", "--status", "ok", "--", "true"),
        ("check-in", "..."),
        ("check-ins", "set", "x", "--schedule", "every now and then"),
    ],
)
def test_wrong_usage_changes_nothing(ops_url: str, database: psycopg.Connection, arguments: tuple[str, ...]) -> None:
    assert typed(ops_url, *arguments).code == 2
    assert database.execute("select count(*) from check_in_monitors").fetchone() == (0,)


def test_what_does_not_come_is_missed_once_for_each_time(ops_url: str, database: psycopg.Connection) -> None:
    assert typed(ops_url, "check-in", "report", "--schedule", "every 10 minutes", "--margin", "2m").code == 0
    hours_pass(database, 1)
    listed = typed(ops_url, "check-ins", "list", "--json")
    assert (listed.code, listed.json[0]["state"]) == (1, "missed"), "whether or not the worker has noticed"
    for _ in range(2):
        overdue(ops_url)
    runs = typed(ops_url, "check-ins", "show", "report", "--json").json["runs"]
    assert [run["status"] for run in runs] == ["missed"] * 5 + ["ok"]
    assert typed(ops_url, "check-in", "report").code == 0
    assert typed(ops_url, "check-ins", "list").code == 0, "it came, and is well"


def test_what_goes_on_for_too_long_is_timed_out_and_stays_so(ops_url: str, database: psycopg.Connection) -> None:
    for status in ("in_progress", None):
        typed(ops_url, "check-in", "slow", "--max-runtime", "10m", *(("--status", status) if status else ()))
        hours_pass(database, 1)
        overdue(ops_url)
    [run] = typed(ops_url, "check-ins", "show", "slow", "--json").json["runs"][-1:]
    assert run["status"] == "timed_out"
    assert typed(ops_url, "check-ins", "show", "slow", "--json").json["state"] == "ok"


def test_two_workers_never_tell_of_one_miss_twice(ops_url: str, database: psycopg.Connection) -> None:
    typed(ops_url, "check-in", "raced", "--schedule", "every 30 minutes")
    hours_pass(database, 1)

    async def race() -> None:
        await asyncio.gather(*(find(ops_url) for _ in range(4)))

    asyncio.run(race())
    missed = database.execute("select count(*) from check_ins where status = 'missed'").fetchone()
    assert missed == (1,)


def test_a_schedule_changed_by_sql_expects_from_now_on(ops_url: str, database: psycopg.Connection) -> None:
    typed(ops_url, "check-in", "changed", "--schedule", "every week")
    hours_pass(database, 24)
    database.execute("update check_in_monitors set schedule = '*/5 * * * *'")
    assert typed(ops_url, "check-ins", "list", "--json").json[0]["state"] == "ok"
    with pytest.raises(psycopg.errors.CheckViolation, match="a schedule is a crontab"):
        database.execute("update check_in_monitors set schedule = 'whenever'")
    with pytest.raises(psycopg.errors.CheckViolation, match="a time zone is named"):
        database.execute("update check_in_monitors set timezone = 'Mars/Olympus'")


def test_a_plain_address_checks_in_until_there_is_a_newer_one(api: httpx.Client, anonymous: httpx.Client) -> None:
    api.put(f"{ADMIN}/cron", json={"schedule": "0 3 * * *", "timezone": "Europe/Berlin"}).raise_for_status()
    first = httpx.URL(api.post(f"{ADMIN}/cron/address").json()["url"]).path
    states = []
    for path, method in ((f"{first}/start", "GET"), (f"{first}/fail", "POST"), (first, "GET")):
        anonymous.request(method, path).raise_for_status()
        states.append(api.get(f"{ADMIN}/cron").json()["state"])
    assert states == ["in_progress", "error", "ok"]
    second = httpx.URL(api.post(f"{ADMIN}/cron/address").json()["url"]).path
    assert anonymous.get(first).status_code == 404
    assert anonymous.get(second).text == "ok\n"
    for wrong in ("/api/check-in/guess", f"{second}/else", "/api/check-in/" + "x" * 5000):
        assert anonymous.get(wrong).status_code in (404, 422)


def test_the_address_stands_nowhere_in_clear(api: httpx.Client, database: psycopg.Connection) -> None:
    api.put(f"{ADMIN}/hidden", json={})
    secret = api.post(f"{ADMIN}/hidden/address").json()["url"].rsplit("/", 1)[1]
    for table in ("check_in_monitors", "security_audit"):
        found = database.execute(f"select count(*) from {table} t where t::text like %s".encode(), (f"%{secret}%",))
        assert found.fetchone() == (0,)
    assert secret not in api.get(ADMIN).text


def test_people_decide_and_the_audit_says_who(api: httpx.Client, database: psycopg.Connection) -> None:
    api.post(f"{ADMIN}/decided", json={"status": "error"}).raise_for_status()
    api.put(f"{ADMIN}/decided/mute", json={"minutes": 5}, params={"reason": "moving"}).raise_for_status()
    assert api.get(f"{ADMIN}/decided").json()["muted_until"]
    api.delete(f"{ADMIN}/decided/mute").raise_for_status()
    api.delete(f"{ADMIN}/decided").raise_for_status()
    assert api.get(f"{ADMIN}/decided").status_code == 404
    audited = database.execute(
        "select action, actor, reason from security_audit where target = 'decided' order by id"
    ).fetchall()
    assert audited == [
        ("check_in_monitor.create", "ADMIN_TOKEN", None),
        ("check_in_monitor.change", "ADMIN_TOKEN", "moving"),
        ("check_in_monitor.change", "ADMIN_TOKEN", None),
        ("check_in_monitor.delete", "ADMIN_TOKEN", None),
    ]


def test_one_name_in_two_environments_is_two_monitors(api: httpx.Client) -> None:
    for environment, status in (("production", "ok"), ("staging", "error")):
        api.post(f"{ADMIN}/both", json={"status": status, "environment": environment}).raise_for_status()
    refused = api.get(f"{ADMIN}/both")
    assert (refused.status_code, "staging" in refused.json()["detail"]) == (409, True)
    assert api.get(f"{ADMIN}/both", params={"environment": "staging"}).json()["state"] == "error"


def test_health_warns_and_names_what_fails(api: httpx.Client) -> None:
    api.post(f"{ADMIN}/backup", json={"status": "error"}).raise_for_status()
    until(lambda: check(api)["status"] == "warn")
    assert "backup in error" in check(api)["detail"]
    assert api.get("/api/health").json()["status"] == "degraded"
    api.put(f"{ADMIN}/backup/mute", json={}).raise_for_status()
    until(lambda: check(api)["status"] == "ok")


def test_who_may_only_look_changes_nothing(api: httpx.Client, server: str) -> None:
    api.put(f"{ADMIN}/seen", json={})
    token = api.post("/api/admin/tokens", json={"name": "looks", "role": "viewer"}).json()["token"]
    with httpx.Client(base_url=server, headers={"Authorization": f"Bearer {token}"}) as viewer:
        assert viewer.get(f"{ADMIN}/seen").status_code == 200
        assert viewer.post(f"{ADMIN}/seen", json={}).status_code == 403
        assert viewer.delete(f"{ADMIN}/seen").status_code == 403


def check(api: httpx.Client) -> dict[str, str]:
    answer = api.get("/api/monitoring/health").json()
    return {each["name"]: each for each in answer["checks"]}["check_ins"]


def typed(ops_url: str, *arguments: str) -> Typed:
    return opsbook(*arguments, OPSBOOK_DATABASE_URL=ops_url)


def overdue(ops_url: str) -> int:
    return asyncio.run(find(ops_url))


async def find(ops_url: str) -> int:
    async with connect(ops_url, "test") as connection:
        return await find_overdue(connection, datetime.now(UTC))


def hours_pass(database: psycopg.Connection, hours: int) -> None:
    """Everything that was noted down was noted that much earlier."""
    length = timedelta(hours=hours)
    database.execute("update check_in_monitors set expected_after = expected_after - %s", (length,))
    database.execute(
        "update check_ins set started_at = started_at - %s, finished_at = finished_at - %s", (length, length)
    )
