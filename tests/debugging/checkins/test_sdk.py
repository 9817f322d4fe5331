"""Sentry's own Python SDK, unchanged, with a DSN of ours: its cron monitors check in here."""

from __future__ import annotations

import subprocess
import sys

import httpx
import psycopg
import pytest

PROGRAM = """
import sys
import sentry_sdk
from sentry_sdk.crons import capture_checkin, monitor

sentry_sdk.init(dsn=sys.argv[1], environment="staging", release="shop@7")
config = {
    "schedule": {"type": "crontab", "value": "30 2 * * *"},
    "timezone": "Europe/Berlin",
    "checkin_margin": 10,
    "max_runtime": 90,
    "failure_issue_threshold": 2,
}


@monitor(monitor_slug="Nightly Report", monitor_config=config)
def nightly_report(fails):
    if fails:
        raise ValueError("no paper")


nightly_report(False)
try:
    nightly_report(True)
except ValueError:
    pass
begun = capture_checkin(monitor_slug="interval", status="in_progress", monitor_config={
    "schedule": {"type": "interval", "value": 2, "unit": "hour"},
})
capture_checkin(monitor_slug="unreadable", status="ok", monitor_config={
    "schedule": {"type": "crontab", "value": "whenever"},
})
sentry_sdk.flush(10)
"""


@pytest.fixture(scope="module")
def _reported(server: str, database: psycopg.Connection) -> None:
    key = database.execute("select public_key from error_project_keys where project_id = 1").fetchone()
    assert key is not None
    dsn = f"{server.replace('://', f'://{key[0]}@')}/1"
    done = subprocess.run([sys.executable, "-c", PROGRAM, dsn], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("_reported")
def test_what_it_says_of_its_schedule_is_kept(api: httpx.Client) -> None:
    report = api.get("/api/admin/check-ins/nightly-report").json()
    told = ("environment", "schedule", "timezone", "margin_seconds", "max_runtime_seconds", "failure_threshold")
    assert [report[each] for each in told] == ["staging", "30 2 * * *", "Europe/Berlin", 600, 5400, 2]
    assert (report["state"], report["failures"], report["failing"]) == ("error", 1, False)
    assert api.get("/api/admin/check-ins/interval").json()["schedule"] == "every 2 hours"


@pytest.mark.usefixtures("_reported")
def test_beginning_and_end_are_one_run(api: httpx.Client) -> None:
    runs = api.get("/api/admin/check-ins/nightly-report/runs").json()
    assert [run["status"] for run in runs] == ["error", "ok"]
    assert all(run["duration_seconds"] is not None and run["release"] == "shop@7" for run in runs)
    assert api.get("/api/admin/check-ins/interval").json()["state"] == "in_progress"


@pytest.mark.usefixtures("_reported")
def test_a_schedule_that_cannot_be_read_keeps_no_run_from_being_told(api: httpx.Client) -> None:
    odd = api.get("/api/admin/check-ins/unreadable").json()
    assert (odd["state"], odd["schedule"]) == ("ok", None)
    assert "whenever" in odd["problem"]


@pytest.mark.usefixtures("_reported")
def test_the_audit_says_that_a_check_in_made_them(database: psycopg.Connection) -> None:
    found = database.execute(
        "select distinct actor, actor_kind from security_audit where action = 'check_in_monitor.create'"
    ).fetchall()
    assert found == [("check-in", "system")]


@pytest.mark.usefixtures("_reported")
def test_they_are_counted(database: psycopg.Connection) -> None:
    counted = database.execute(
        "select outcome, sum(items)::int from error_item_counts where category = 'monitor' group by 1"
    ).fetchall()
    assert counted == [("accepted", 6)]
