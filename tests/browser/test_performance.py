"""The performance levers at a browser: what is done in the console, the service in the same process obeys."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect

import opsbook
from opsbook.core.settings import Settings
from tests.browser.conftest import NewPage
from tests.serving import serving_app

CALLER = "203.0.113.7"
DEADLINE_SECONDS = 20.0


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[str]:
    """A service with a limit and a cached function, its callers told by a proxy, and Opsbook in front of it."""
    app, numbers = FastAPI(), itertools.count(1)

    @opsbook.cached(ttl=3600, tags="shown")
    def numbered() -> int:
        return next(numbers)

    @app.get("/number")
    def number() -> int:
        return numbered()

    limits = [opsbook.RateLimit("shown", per_minute=1000, paths=["/limited"])]
    opsbook.install(app, limits=limits, settings=settings.model_copy(update={"trusted_proxies": "127.0.0.1"}))
    with serving_app(app) as address:
        yield address


@pytest.fixture
def caller(server: str) -> Iterator[httpx.Client]:
    """Somebody who asks the service."""
    with httpx.Client(base_url=server, headers={"X-Forwarded-For": CALLER}, timeout=30) as client:
        yield client


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def declared(page: Page, database: psycopg.Connection) -> None:
    """Wait until the service has said what it limits."""
    until(lambda: database.execute("select from rate_limits where policy = 'shown'").rowcount)
    page.reload()


def test_a_limit_set_in_the_console_is_obeyed_and_undone(
    new_page: NewPage, caller: httpx.Client, database: psycopg.Connection
) -> None:
    page, watcher = new_page("/ops/performance/limits"), new_page("/ops/performance/limits")
    declared(page, database)
    declared(watcher, database)
    page.get_by_role("link", name="shown").click()
    page.get_by_label("Per minute").fill("2")
    page.get_by_label("Reason").fill("too fast")
    page.get_by_role("button", name="Put in force").click()
    expect(page.locator("main .notice")).to_contain_text("2 per minute")
    expect(watcher.locator("#policies")).to_contain_text("2 per minute")
    until(lambda: caller.get("/limited").status_code == 429)
    page.locator("main .notice").get_by_role("button", name="Undo").click()
    expect(page.locator("#state")).to_have_text("as declared")
    until(lambda: caller.get("/limited").status_code == 404)


def test_a_block_is_made_in_a_dialog_obeyed_lifted_and_brought_back(new_page: NewPage, caller: httpx.Client) -> None:
    page, watcher = new_page("/ops/performance/blocks"), new_page("/ops/performance/blocks")
    page.keyboard.press("c")
    page.get_by_label("Networks").fill("203.0.113.0/24")
    page.get_by_label("Reason", exact=True).fill("scrapes")
    page.get_by_role("button", name="Block", exact=True).click()
    expect(page.locator("main .notice")).to_contain_text("203.0.113.0/24 is refused")
    expect(watcher.locator("#blocks")).to_contain_text("scrapes")
    until(lambda: caller.get("/number").status_code == 403)
    page.get_by_role("button", name="Lift the block of 203.0.113.0/24").click()
    expect(watcher.locator("#blocks")).to_contain_text("Nothing is blocked")
    until(lambda: caller.get("/number").status_code == 200)
    page.locator("main .notice").get_by_role("button", name="Undo").click()
    expect(watcher.locator("#blocks")).to_contain_text("scrapes")
    until(lambda: caller.get("/number").status_code == 403)
    page.locator("main .notice").get_by_role("button", name="Undo").click()
    until(lambda: caller.get("/number").status_code == 200)


def test_a_block_of_the_consoles_own_address_is_warned_of(new_page: NewPage) -> None:
    page = new_page("/ops/performance/blocks/new")
    page.get_by_label("Networks").fill("127.0.0.1")
    page.get_by_label("Reason").fill("a slip")
    page.get_by_role("button", name="Block", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("would block 127.0.0.1")
    expect(page.get_by_label("Networks")).to_have_value("127.0.0.1")
    expect(page.get_by_label("Block it although")).not_to_be_checked()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_purge_by_tag_has_the_service_compute_anew(new_page: NewPage, caller: httpx.Client, scripts: bool) -> None:
    before = caller.get("/number").json()
    assert caller.get("/number").json() == before
    page = new_page("/ops/performance/cache", java_script_enabled=scripts)
    page.get_by_role("textbox", name="Tag").fill("shown")
    page.get_by_role("button", name="Forget…").click()
    expect(page.locator("main")).to_contain_text("whatever carries the tag")
    page.get_by_label("Reason").fill("out of date")
    page.get_by_role("button", name="Forget in every process").click()
    expect(page.locator("main .notice")).to_contain_text("cached results with the tag 'shown'")
    until(lambda: caller.get("/number").json() > before)


def test_a_chart_tells_its_figures_to_who_cannot_see_it(new_page: NewPage, database: psycopg.Connection) -> None:
    database.execute(
        "insert into rate_limit_counts (minute, policy, admitted, refused)"
        " values (date_trunc('minute', now()) - interval '9 minutes', 'told', 1234, 56)"
    )
    page = new_page("/ops/performance")
    chart = page.get_by_role("img", name="Requests a minute, 1 h ago to now")
    expect(chart).to_be_visible()
    expect(chart.locator("desc")).to_contain_text("admitted: at most 1,234")
    expect(chart.locator("rect title", has_text="refused 56")).to_have_count(1)
