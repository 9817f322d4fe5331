"""The console as a person at a browser meets it: live, by keyboard, and without scripts."""

from __future__ import annotations

import re
import uuid

import httpx
import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage

FLAGS = "/api/admin/feature-flags"


def test_a_kill_in_one_browser_shows_in_another(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "watched", "enabled": True})
    watcher, puller = new_page("/ops/flags/watched"), new_page("/ops/flags")
    expect(watcher.locator("#state")).to_have_text("on")
    puller.get_by_label("Kill watched").click()
    puller.get_by_label("Reason").fill("it breaks")
    puller.get_by_role("button", name="Kill for everybody").click()
    expect(puller.locator("main .notice")).to_contain_text("watched is now killed")
    expect(watcher.get_by_text("Killed: off for everybody")).to_be_visible()
    expect(watcher.locator("#history")).to_contain_text("it breaks")
    puller.locator("main .notice").get_by_role("button", name="Undo").click()
    expect(watcher.locator("#state")).to_have_text("on")


def test_a_kill_shows_how_many_workers_obey_and_who_is_behind(
    new_page: NewPage, api: httpx.Client, database: psycopg.Connection
) -> None:
    api.post(FLAGS, json={"name": "obeyed", "enabled": True})
    reader = {"id": str(uuid.uuid4()), "host": "web-7", "pid": 4711, "name": "celery", "revision": 1}
    api.post("/api/flags/confirmations", json=reader)
    page = new_page("/ops/flags/obeyed")
    page.get_by_role("link", name="Kill…").click()
    page.get_by_label("Reason").fill("it breaks")
    page.get_by_role("button", name="Kill for everybody").click()
    told, panel = page.locator("main .notice"), page.get_by_role("region", name="Who obeys")
    expect(told).to_contain_text(re.compile(r"Obeyed by 1 of 2 workers, slowest .* so far"))
    expect(panel).to_contain_text("celery on web-7, process 4711")
    revision = api.get(f"{FLAGS}/obeyed").json()["revision"]
    api.post("/api/flags/confirmations", json=reader | {"revision": revision})
    expect(told).to_contain_text("Obeyed by 2 of 2 workers", timeout=15_000)
    expect(panel.get_by_role("img", name="2 of 2 workers obey")).to_be_visible()
    expect(panel).not_to_contain_text("celery")


def test_sql_shows_in_an_open_list(new_page: NewPage, api: httpx.Client, database: psycopg.Connection) -> None:
    api.post(FLAGS, json={"name": "by-sql", "enabled": True})
    page = new_page("/ops/flags?q=by-sql")
    expect(page.get_by_role("switch", name="by-sql enabled")).to_be_checked()
    database.execute("update feature_flags set kill_switch = true where name = 'by-sql'")
    expect(page.locator("tr", has_text="by-sql").get_by_text("killed")).to_be_visible()


def test_a_toggle_in_the_list_keeps_the_place_and_the_focus(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "toggled", "enabled": False})
    page = new_page("/ops/flags")
    switch = page.get_by_role("switch", name="toggled enabled")
    switch.focus()
    page.keyboard.press("Space")
    expect(switch).to_be_checked()
    expect(switch).to_be_focused()
    assert api.get(f"{FLAGS}/toggled").json()["enabled"] is True


def test_a_live_update_leaves_what_is_being_typed(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "typed", "description": "before"})
    page = new_page("/ops/flags/typed")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Owner").fill("half a sen")
    api.post(FLAGS, json={"name": "typed", "enabled": True})
    expect(page.locator("#state")).to_have_text("on")
    expect(page.get_by_label("Owner")).to_have_value("half a sen")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("somebody changed it in between")


def test_a_live_update_leaves_the_caret_and_comes_once_it_is_gone(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "caret", "description": "before"})
    page = new_page("/ops/flags/caret")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Owner").focus()
    api.post(FLAGS, json={"name": "caret", "enabled": True, "description": "after"})
    expect(page.locator("#state")).to_have_text("on")
    expect(page.locator("#facts")).to_contain_text("before")
    page.keyboard.type("half a sen")
    expect(page.get_by_label("Owner")).to_have_value("half a sen")
    page.reload()
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Owner").focus()
    api.post(FLAGS, json={"name": "caret", "description": "later"})
    expect(page.locator("#history")).to_contain_text("later")
    page.get_by_role("link", name="In the audit").focus()
    expect(page.locator("#facts")).to_contain_text("later")


def test_slider_and_number_move_together_in_hundredths(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "rolled", "enabled": True, "rollout_percentage": 10})
    page = new_page("/ops/flags/rolled")
    number, slider = page.get_by_label("Rollout in percent"), page.get_by_label("Rollout in whole percents")
    slider.fill("40")
    expect(number).to_have_value("40")
    number.fill("12.34")
    expect(slider).to_have_value("12")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#state")).to_have_text("on for 12.34 %")
    assert api.get(f"{FLAGS}/rolled").json()["rollout_percentage"] == 12.34


def test_filtering_acts_while_typing_and_stands_in_the_address(new_page: NewPage, api: httpx.Client) -> None:
    for name in ("filter-wombat", "filter-quokka"):
        api.post(FLAGS, json={"name": name})
    page = new_page("/ops/flags")
    page.get_by_label("Filter by name").press_sequentially("quokka")
    expect(page.get_by_role("link", name="filter-quokka", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="filter-wombat", exact=True)).to_be_hidden()
    expect(page.get_by_label("Filter by name")).to_be_focused()
    expect(page).to_have_url(re.compile(r"q=quokka"))
    page.reload()
    expect(page.get_by_label("Filter by name")).to_have_value("quokka")


def test_everything_is_reached_by_keyboard(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "by-keyboard"})
    page = new_page("/ops")
    page.keyboard.type("gf")
    page.wait_for_url("**/ops/flags")
    page.keyboard.press("j")
    expect(page.locator("tbody tr").first.locator("button, a").first).to_be_focused()
    page.keyboard.press("c")
    page.wait_for_url("**/ops/flags/-/new")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("by-keyb")
    expect(page.get_by_role("option", name="by-keyboard")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ops/flags/by-keyboard")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.type("ga")
    page.wait_for_url(re.compile("/ops/a"))


def test_an_open_page_says_when_the_server_no_longer_answers(new_page: NewPage) -> None:
    page = new_page("/ops")
    expect(page.get_by_text("The server does not answer")).to_be_hidden()
    page.context.set_offline(True)
    expect(page.get_by_text("The server does not answer")).to_be_visible(timeout=15_000)
    page.context.set_offline(False)
    expect(page.get_by_text("The server does not answer")).to_be_hidden(timeout=15_000)


def test_an_open_page_leads_to_signing_in_once_its_session_has_ended(new_page: NewPage, api: httpx.Client) -> None:
    page = new_page("/ops/flags?state=on")
    page.context.clear_cookies()
    api.post(FLAGS, json={"name": "after-the-session"})
    expect(page).to_have_url(re.compile(r"/ops/sign-in\?next="))


def test_letter_keys_can_be_switched_off(new_page: NewPage) -> None:
    page = new_page("/ops")
    page.keyboard.press("?")
    page.get_by_label("Single-letter shortcuts on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("dialog", name="Search")).to_be_hidden()


def test_light_and_dark_are_chosen_and_remembered(new_page: NewPage) -> None:
    page = new_page("/ops", color_scheme="light")
    assert _is_dark(page) is False
    page.keyboard.press("t")
    assert _is_dark(page) is True
    page.goto("/ops/flags")
    assert _is_dark(page) is True


def test_levers_work_without_scripts(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "plain", "enabled": True})
    page = new_page("/ops/flags", java_script_enabled=False)
    page.get_by_label("Kill plain").click()
    page.get_by_label("Reason").fill("no scripts here")
    page.get_by_role("button", name="Kill for everybody").click()
    expect(page.locator("main .notice")).to_contain_text("plain is now killed")
    assert api.get(f"{FLAGS}/plain").json()["state"] == "killed"
    page.locator("main .notice").get_by_role("button", name="Undo").click()
    assert api.get(f"{FLAGS}/plain").json()["state"] == "on"


def test_a_token_is_made_copied_and_revoked(new_page: NewPage, server: str) -> None:
    page = new_page("/ops/access", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_text("New token").click()
    page.get_by_label("Name").fill("from the browser")
    page.get_by_role("button", name="Create token").click()
    page.get_by_label("Copy the Token form").click()
    expect(page.locator("[data-toast]")).to_have_text("Copied")
    secret = page.evaluate("navigator.clipboard.readText()")
    bearer = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(server + FLAGS, headers=bearer).status_code == 200
    page.get_by_label("Revoke token from the browser").click()
    expect(page.locator("#tokens")).to_contain_text("revoked")
    assert httpx.get(server + FLAGS, headers=bearer).status_code == 401


@pytest.mark.parametrize("path", ["/ops", "/ops/flags", "/ops/audit", "/ops/access"])
def test_nothing_is_fetched_from_another_host(new_page: NewPage, server: str, path: str) -> None:
    page = new_page("/ops/search")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path)
    page.locator("main h1").wait_for()
    assert asked
    assert all(url.startswith((server, "data:")) for url in asked)


def _is_dark(page: Page) -> bool:
    return page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 14, 17)"
