"""The logs in a browser: new lines come by themselves, stop while paused, and none is missed in between."""

from __future__ import annotations

import logging

import psycopg
from playwright.sync_api import expect

from opsbook.core.log import get_logger
from tests.browser.conftest import NewPage
from tests.debugging.logs.writing import arrived


def test_lines_come_as_they_are_logged_and_wait_while_paused(new_page: NewPage, database: psycopg.Connection) -> None:
    logging.getLogger("shop.live").setLevel(logging.INFO)
    log = get_logger("shop.live")
    log.info("stood_there_before")
    arrived(database, "shop.live")
    page = new_page("/ops/logs?logger=shop.live")
    rows = page.locator("#log-lines tbody tr")
    expect(rows).to_have_count(1)
    log.warning("<em>came_live</em>", order=17)
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("<em>came_live</em>")
    rows.first.get_by_text("came_live").click()
    expect(rows.first.get_by_role("link", name="shop.live")).to_be_visible()
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    log.info("came_while_paused")
    arrived(database, "shop.live", 3)
    expect(rows).to_have_count(2)
    pause.click()
    expect(rows).to_have_count(3)
    expect(rows.nth(1).locator("details")).to_have_attribute("open", "")


def test_who_was_refused_follows_once_there_is_room(new_page: NewPage, database: psycopg.Connection) -> None:
    logging.getLogger("shop.full").setLevel(logging.INFO)
    page = new_page("/ops")
    page.route("**/ops/logs/stream*", lambda route: route.fulfill(status=429), times=1)
    with page.expect_response(lambda answer: answer.status == 429):
        page.goto(page.url.partition("/ops")[0] + "/ops/logs?logger=shop.full")
    get_logger("shop.full").info("said_meanwhile")
    expect(page.locator("#log-lines tbody tr")).to_have_count(1, timeout=20_000)


def test_the_filter_narrows_what_comes(new_page: NewPage, database: psycopg.Connection) -> None:
    logging.getLogger("shop.filtered").setLevel(logging.INFO)
    log = get_logger("shop.filtered")
    page = new_page("/ops/logs?logger=shop.filtered")
    page.get_by_label("Words").fill("bank")
    page.wait_for_url("**text=bank*")
    log.info("shop_away")
    log.info("bank_away")
    rows = page.locator("#log-lines tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("bank_away")


def test_the_level_is_set_and_ended(new_page: NewPage, database: psycopg.Connection) -> None:
    page = new_page("/ops/logs/level")
    page.get_by_label("Logger").fill("shop.level")
    page.get_by_role("button", name="Set the level").click()
    expect(page.locator("#log-levels")).to_contain_text("shop.level from DEBUG up")
    database.execute("delete from log_levels where logger = 'shop.level'")
    expect(page.locator("#log-levels")).to_contain_text("Nothing is set")
