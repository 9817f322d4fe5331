"""Errors in a browser: they stand on the open list as they come, are decided about, and the decision is undone."""

from __future__ import annotations

import httpx
import psycopg
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.debugging.sending import Sender, key_of

LIVE_MILLISECONDS = 15_000
"""Shorter than the time after which a page asks by itself."""


@pytest.fixture(scope="module")
def sender(anonymous: httpx.Client, database: psycopg.Connection) -> Sender:
    return Sender(anonymous, key_of(database))


def test_an_error_shows_on_the_open_list_by_itself(new_page: NewPage, sender: Sender) -> None:
    page = new_page("/ops/errors?text=CameLive")
    expect(page.get_by_text("No error matches")).to_be_visible()
    sender.event("CameLive")
    row = page.get_by_role("row").filter(has_text="CameLive: 'EUR'")
    expect(row).to_have_count(1, timeout=LIVE_MILLISECONDS)
    expect(row.get_by_role("cell").nth(3)).to_have_text("1")
    sender.event("CameLive")
    expect(row.get_by_role("cell").nth(3)).to_have_text("2", timeout=LIVE_MILLISECONDS)
    row.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="CameLive: 'EUR'")).to_be_visible()
    expect(page.get_by_text("return rates[currency]")).to_be_visible()


def test_a_flood_is_shown_to_its_end(new_page: NewPage, sender: Sender) -> None:
    page = new_page("/ops/errors?text=CameInNumbers")
    for _ in range(30):
        sender.event("CameInNumbers")
    row = page.get_by_role("row").filter(has_text="CameInNumbers: 'EUR'")
    expect(row.get_by_role("cell").nth(3)).to_have_text("30", timeout=LIVE_MILLISECONDS)


def test_an_issue_is_resolved_and_the_decision_undone(new_page: NewPage, sender: Sender) -> None:
    sender.event("Decided")
    page = new_page("/ops/errors?text=Decided")
    page.get_by_role("link", name="Decided: 'EUR'").click()
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator("#state")).to_contain_text("resolved")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#state")).to_contain_text("unresolved")
    page.get_by_text("Ignore…").click()
    page.locator("select[name=length]").select_option("for a day")
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator("#decide")).to_contain_text("It is ignored")
    page.goto("/ops/errors?status=ignored")
    expect(page.get_by_role("link", name="Decided: 'EUR'")).to_be_visible()
