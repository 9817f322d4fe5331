"""Schedules and webhooks in a browser: a ramp previewed and undone by keyboard, a kill seen live, a secret copied."""

from __future__ import annotations

import httpx
import psycopg
from playwright.sync_api import expect

from tests.browser.conftest import NewPage

FLAGS = "/api/admin/feature-flags"


def test_a_ramp_is_previewed_made_and_undone_by_keyboard(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "ramped"})
    page = new_page("/ops/flags/ramped")
    page.get_by_role("link", name="Schedule…").press("Enter")
    page.get_by_label("Percentages").fill("1, 10, 100")
    page.get_by_label("First step (UTC)").fill("2099-01-01T09:00")
    page.get_by_role("button", name="Preview the steps").press("Enter")
    expect(page.get_by_role("status", name="Preview")).to_contain_text("at 100 %2099-01-03 09:00 UTC")
    page.get_by_role("button", name="Schedule these 3 steps").press("Enter")
    expect(page.locator("#planned")).to_contain_text("next: on at 1 %")
    page.get_by_role("button", name="Undo: cancel it").press("Enter")
    expect(page.locator("#planned")).to_contain_text("Nothing is planned")
    assert api.get("/api/admin/flag-schedules", params={"flag": "ramped"}).json() == []


def test_a_ramp_that_was_changed_after_its_preview_is_shown_again(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "rethought"})
    page = new_page("/ops/flags/rethought/schedules", java_script_enabled=False)
    page.get_by_role("button", name="Preview the steps").click()
    page.get_by_label("Percentages").fill("50, 100")
    page.get_by_role("button", name="Schedule these 5 steps").click()
    expect(page.get_by_role("button", name="Schedule these 2 steps")).to_be_visible()
    assert api.get("/api/admin/flag-schedules", params={"flag": "rethought"}).json() == []


def test_a_kill_by_sql_is_seen_on_the_schedule(
    new_page: NewPage, api: httpx.Client, database: psycopg.Connection
) -> None:
    api.post(FLAGS, json={"name": "burnt", "enabled": True})
    page = new_page("/ops/flags/burnt/schedules")
    page.get_by_label("Off at (UTC)").fill("2099-01-01T09:00")
    page.get_by_role("button", name="Schedule", exact=True).click()
    expect(page.locator("#planned")).to_contain_text("next: off")
    database.execute("update feature_flags set kill_switch = true where name = 'burnt'")
    expect(page.locator("#planned")).to_contain_text("the flag was killed")
    expect(page.get_by_role("button", name="Resume")).to_be_disabled()


def test_a_webhooks_secret_is_shown_and_its_removal_confirmed_in_a_dialog(new_page: NewPage) -> None:
    page = new_page("/ops/flags")
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_label("Address").fill("http://127.0.0.1:1/hook")
    page.get_by_role("button", name="Add webhook").click()
    expect(page.get_by_role("region", name="Secret of webhook")).to_contain_text("whsec_")
    page.get_by_role("link", name="send a test").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("alert")).to_contain_text("not on the public internet")
    page.get_by_role("link", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status").first).to_contain_text("is removed")


def test_an_emptied_field_of_a_flag_is_saved_as_empty(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "emptied", "description": "Old", "owner": "web", "tags": ["a b", "c"]})
    page = new_page("/ops/flags/emptied")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Description").fill("")
    page.get_by_label("Owner").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#facts")).to_contain_text("No description.")
    found = api.get(f"{FLAGS}/emptied").json()
    assert (found["description"], found["owner"], found["tags"]) == ("", None, ["a b", "c"])
