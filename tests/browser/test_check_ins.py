"""Check-ins in Chromium: made, missed, muted and deleted by hand, with nothing but the page."""

from __future__ import annotations

import re

import httpx
import psycopg
from playwright.sync_api import expect

from tests.browser.conftest import NewPage

ADMIN = "/api/admin/check-ins"


def test_one_is_made_and_expected_otherwise(new_page: NewPage, api: httpx.Client) -> None:
    page = new_page("/ops/check-ins/new")
    page.get_by_label("Name").fill("Nightly Report")
    page.get_by_label("Schedule").fill("99 * * * *")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("no crontab")
    page.get_by_label("Schedule").fill("30 2 * * *")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="nightly-report", exact=True)).to_be_visible()
    expect(page.locator("#state")).to_contain_text("has not checked in yet")
    page.get_by_label("May begin later by").fill("2h")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice")).to_contain_text("It is expected 30 2 * * * (Europe/Berlin)")
    assert api.get(f"{ADMIN}/nightly-report").json()["margin_seconds"] == 7200


def test_what_fails_stands_first_and_is_muted_and_unmuted(new_page: NewPage, api: httpx.Client) -> None:
    for name, status in (("a-backup", "ok"), ("z-backup", "error")):
        api.post(f"{ADMIN}/{name}", json={"status": status}).raise_for_status()
    page = new_page("/ops/check-ins")
    expect(page.get_by_role("row").nth(1)).to_contain_text("z-backup")
    expect(page.get_by_role("img", name="last 1 runs: 1 in error")).to_be_visible()
    page.get_by_role("link", name="z-backup").click()
    page.get_by_text("Mute", exact=True).first.click()
    page.locator("select[name=length]").select_option("1d")
    page.get_by_role("button", name="Mute", exact=True).click()
    expect(page.locator(".notice")).to_contain_text("worries nobody")
    page.get_by_role("button", name="Unmute").click()
    expect(page.locator(".notice")).to_contain_text("It worries again")
    assert api.get(f"{ADMIN}/z-backup").json()["muted_until"] is None


def test_an_address_is_shown_once_and_works(new_page: NewPage, api: httpx.Client, anonymous: httpx.Client) -> None:
    api.put(f"{ADMIN}/called", json={}).raise_for_status()
    page = new_page("/ops/check-ins")
    page.get_by_role("link", name="called").click()
    page.get_by_text("Plain address").click()
    page.get_by_role("button", name="Make a new address").click()
    address = page.locator(".notice code", has_text=re.compile("/api/check-in/opsb_")).inner_text()
    assert anonymous.get(httpx.URL(address).path).text == "ok\n"
    assert api.get(f"{ADMIN}/called").json()["state"] == "ok"


def test_one_is_deleted_after_it_was_said_what_goes(new_page: NewPage, api: httpx.Client) -> None:
    api.post(f"{ADMIN}/gone", json={}).raise_for_status()
    page = new_page("/ops/check-ins")
    page.get_by_role("link", name="gone").click()
    page.get_by_role("link", name="Delete…").click()
    expect(page.get_by_text("all of its runs")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/ops/check-ins")
    assert api.get(f"{ADMIN}/gone").status_code == 404


def test_what_needs_somebody_stands_on_the_overview(new_page: NewPage, api: httpx.Client) -> None:
    api.post(f"{ADMIN}/worrying", json={"status": "error"}).raise_for_status()
    page = new_page("/ops")
    expect(page.get_by_text("worrying in error").first).to_be_visible()


def test_a_persons_trail_is_found_filtered_and_taken_along(new_page: NewPage, database: psycopg.Connection) -> None:
    database.execute(
        "insert into log_lines (writer, number, logged_at, level, logger, message, user_id)"
        " select 999, n, now() - n * interval '1 minute', 'info', 'shop', '<b>paid</b> ' || n, 'ada/1'"
        " from generate_series(1, 150) n"
    )
    page = new_page("/ops/users")
    page.get_by_label("The person's id").fill("ada/1")
    page.get_by_role("button", name="Show the trail").click()
    page.get_by_label("Kind").select_option("logs")
    expect(page.get_by_text("<b>paid</b> 1", exact=True)).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_text("<b>paid</b> 150", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text().count("paid") == 150
