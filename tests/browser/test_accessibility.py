"""axe finds nothing, on every page, light and dark, wide and narrow; nothing is wider than a phone."""

from __future__ import annotations

import json
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import AXE, NewPage
from tests.debugging.events import python_event
from tests.debugging.sending import Sender, key_of

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 780}
EVENT = "0123456789abcdef0123456789abcdef"
PAGES = [
    *("/ops", "/ops/flags", "/ops/flags?state=killed", "/ops/flags/-/new", "/ops/flags/shown", "/ops/flags/shown/kill"),
    *("/ops/flags/shown?key=u1&context=plan%3Dpro", "/ops/flags/shown/rules/new", "/ops/flags/shown/rules/1"),
    *("/ops/flags/shown/variants", "/ops/flags/shown/prerequisites", "/ops/flags/shown/revisions/999999"),
    *("/ops/flags/-/segments", "/ops/flags/-/new-segment", "/ops/flags/-/segments/staff"),
    *("/ops/flags/shown/schedules?made=1", "/ops/flags/dead/schedules"),
    *("/ops/flags/-/webhooks", "/ops/flags/-/webhooks/1", "/ops/flags/-/webhooks/1/remove"),
    *("/ops/flags/dead", "/ops/audit", "/ops/audit?q=nothing-has-this", "/ops/access", "/ops/access/password"),
    *("/ops/performance", "/ops/performance/cache", "/ops/performance/cache/purge?all=true", "/ops/performance/limits"),
    *("/ops/performance/limits/shown", "/ops/performance/blocks", "/ops/performance/blocks?q=nothing-has-this"),
    *("/ops/performance/blocks/new", "/ops/database/pool", "/ops/search?q=shown", "/ops/flags/never-was"),
    *("/ops/logs", "/ops/logs?text=nothing-has-this", "/ops/logs/level"),
    *("/ops/check-ins", "/ops/check-ins/new", "/ops/check-ins/1", "/ops/check-ins/1/delete"),
    *("/ops/users", "/ops/users/somebody"),
    *("/ops/errors", "/ops/errors?text=nothing-has-this", "/ops/errors/1", f"/ops/errors/1/events/{EVENT}"),
]


@pytest.fixture(scope="module", autouse=True)
def _errors(api: httpx.Client, anonymous: httpx.Client, database: psycopg.Connection) -> None:
    sender = Sender(anonymous, key_of(database))
    sender.send(("event", python_event()), event_id=EVENT)
    other = sender.event("Other", event_id="f" * 32)
    number = api.get(f"/api/admin/errors/events/{other}").json()["issue_id"]
    api.post("/api/admin/errors/1/merge", json={"issues": [number]}).raise_for_status()
    api.post("/api/admin/errors/1/comments", json={"text": "Only with the old client."}).raise_for_status()


@pytest.fixture(scope="module", autouse=True)
def _flags(api: httpx.Client) -> None:
    flags = "/api/admin/feature-flags"
    fields = {"description": "On every page", "owner": "web", "tags": ["tag"], "rollout_percentage": 12.5}
    api.post(flags, json={"name": "parent", "enabled": True})
    staff = {"field": "email", "operator": "ends_with", "values": ["@example.org"]}
    api.put("/api/admin/flag-segments/staff", json={"description": "Ours", "constraints": [staff]})
    targeting = {
        "rules": [{"name": "paying", "constraints": [staff], "segments": ["staff"], "percentage": 50}],
        "variants": [{"name": "blue", "weight": 3, "overrides": [{"field": "plan", "values": ["pro"]}]}],
        "prerequisites": [{"flag": "parent"}],
    }
    api.post(flags, json={"name": "shown", "enabled": True, **fields, **targeting})
    api.post(flags, json={"name": "shown", "rollout_percentage": 25, "reason": "going well"})
    api.post(flags, json={"name": "dead", "enabled": True, "kill_switch": True})
    for status in ("ok", "error", "in_progress"):
        api.post("/api/admin/check-ins/nightly-backup", json={"status": status})
    ramp = {"percentages": [5, 25, 100], "every_minutes": 1440, "start": "2099-01-01T00:00:00Z"}
    for name in ("shown", "dead"):
        api.post("/api/admin/flag-schedules", json={"flag": name, "ramp": ramp})
    api.post("/api/admin/flag-webhooks", json={"url": f"https://example.com/{'long' * 40}"})


@pytest.fixture(scope="module", autouse=True)
def _performance(api: httpx.Client, database: psycopg.Connection) -> None:
    block = {"networks": ["203.0.113.0/24"], "reason": "r" * 80, "for_seconds": 900}
    api.post("/api/admin/address-blocks", json=block)
    columns = "id, host, pid, program, database, checked_out, waiting, longest_wait_seconds, holders"
    stack = ["a/long/path/to/a/module/of/the/service/in/its/package.py:1 f", "b.py:2 g"]
    holders = json.dumps([{"held_seconds": 3, "stack": stack}])
    minute, hour = "date_trunc('minute', now())", "date_trunc('hour', now())"
    for row in (
        f"address_block_counts values ({minute}, 7)",
        "rate_limits (policy, declared, per_minute) values ('shown', '{\"per_minute\": 60}', 5)",
        f"rate_limit_counts values ({minute}, 'shown', 90, 10)",
        f"rate_limit_keys values ({hour}, 'shown', '203.0.113.7', 9, 1, now())",
        f"rate_limit_keys values ({hour}, 'shown', repeat('k', 200), 9, 1, now())",
        f"cache_statistics values ({hour}, repeat('module.', 20) || 'prices', 90, 8, 7, 6, 5, 4, 3, 2)",
        f"pool_processes ({columns}) values (gen_random_uuid(), 'host', 1, 'program', 'db', 1, 0, 0, '{holders}')",
    ):
        database.execute(f"insert into {row}".encode())


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing(new_page: NewPage, theme: str, size: dict[str, int]) -> None:
    page = new_page("/ops", color_scheme=theme, viewport=size, bypass_csp=True)
    found: dict[str, object] = {}
    for path in PAGES:
        page.goto(path)
        found[path] = violations(page), page.evaluate("document.documentElement.scrollWidth")
    assert found == dict.fromkeys(PAGES, ([], size["width"]))


def test_axe_finds_nothing_in_what_opens(new_page: NewPage) -> None:
    page = new_page("/ops/flags", bypass_csp=True)
    page.keyboard.press("?")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.get_by_role("option").first.wait_for()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_label("Kill shown").click()
    page.get_by_label("Reason").wait_for()
    assert violations(page) == []


def test_axe_finds_nothing_outside_the_frame(new_page: NewPage) -> None:
    page = new_page("/ops", bypass_csp=True)
    page.context.clear_cookies()
    for path in ("/ops/sign-in", "/ops/sign-in?link=dead"):
        page.goto(path)
        assert violations(page) == [], path


def violations(page: Page) -> list[str]:
    """What axe objects to, each with the first element that it means."""
    page.add_script_tag(path=AXE)
    run = "axe.run({resultTypes: ['violations']}).then(result => result.violations)"
    found: list[dict[str, Any]] = page.evaluate(run)
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found]
