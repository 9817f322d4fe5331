"""Whom a flag is for, edited in a browser: with scripts, with the keyboard, without scripts; tried, and live."""

from __future__ import annotations

import httpx
import psycopg
from playwright.sync_api import expect

from tests.browser.conftest import NewPage

FLAGS = "/api/admin/feature-flags"
PRO = {"name": "paying", "constraints": [{"field": "plan", "operator": "in", "values": ["pro"]}]}


def test_a_rule_of_two_conditions_is_written_by_keyboard(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "written", "enabled": True, "rollout_percentage": 0})
    page = new_page("/ops/flags/written")
    page.get_by_role("link", name="Rule", exact=True).click()
    page.get_by_label("Name").fill("paying")
    page.get_by_label("Field", exact=True).fill("plan")
    page.get_by_label("Values").fill("pro, team")
    page.get_by_role("button", name="Condition", exact=True).press("Enter")
    second = page.get_by_label("Field", exact=True).nth(1)
    expect(second).to_be_focused()
    expect(second).to_have_value("")
    page.keyboard.type("country")
    page.get_by_label("Is or is not").nth(1).select_option("is not")
    page.get_by_label("Values").nth(1).fill("DE")
    page.get_by_role("button", name="Save rule").press("Enter")
    expect(page.locator("#rules")).to_contain_text("not country in DE")
    (rule,) = api.get(f"{FLAGS}/written").json()["rules"]
    assert [each["values"] for each in rule["constraints"]] == [["pro", "team"], ["DE"]]


def test_a_condition_is_dropped_and_the_last_row_only_emptied(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "dropped", "rules": [PRO]})
    page = new_page("/ops/flags/dropped/rules/1")
    page.get_by_role("button", name="Condition", exact=True).click()
    page.get_by_label("Field", exact=True).nth(1).fill("country")
    page.get_by_label("Remove this condition").first.click()
    expect(page.get_by_label("Field", exact=True)).to_have_value("country")
    page.get_by_label("Remove this condition").click()
    expect(page.get_by_label("Field", exact=True)).to_have_value("")


def test_a_mistake_keeps_what_was_typed(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "mistaken"})
    page = new_page("/ops/flags/mistaken/rules/new")
    page.get_by_label("Field", exact=True).fill("age")
    page.get_by_label("Operator").select_option("number above")
    page.get_by_label("Values").fill("old")
    page.get_by_role("button", name="Save rule").click()
    expect(page.get_by_role("alert")).to_contain_text("a number")
    expect(page.get_by_label("Values")).to_have_value("old")
    page.get_by_label("Values").fill("18")
    page.get_by_role("button", name="Save rule").click()
    expect(page.locator("#rules")).to_contain_text("age number_above 18")


def test_a_rule_is_written_without_scripts(new_page: NewPage, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "plainly"})
    page = new_page("/ops/flags/plainly/rules/new", java_script_enabled=False)
    page.get_by_label("Field", exact=True).fill("plan")
    page.get_by_label("Values").fill("pro")
    page.get_by_role("button", name="Condition", exact=True).click()
    page.get_by_label("Field", exact=True).nth(1).fill("country")
    page.get_by_label("Values").nth(1).fill("DE")
    page.get_by_role("button", name="Save rule").click()
    expect(page.locator("#rules")).to_contain_text("country in DE")
    page.get_by_label("Edit rule 1").click()
    page.get_by_role("button", name="Remove rule").click()
    assert api.get(f"{FLAGS}/plainly").json()["rules"] == []


def test_a_tried_context_follows_the_flag_live(
    new_page: NewPage, api: httpx.Client, database: psycopg.Connection
) -> None:
    api.post(FLAGS, json={"name": "tried", "enabled": True, "rollout_percentage": 0, "rules": [PRO]})
    page = new_page("/ops/flags/tried")
    page.get_by_label("Targeting key").fill("u1")
    page.get_by_label("Other fields, one a line").fill("plan=pro")
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#trial .outcome")).to_contain_text("on")
    expect(page.locator("#trial .held").last).to_contain_text("paying: plan in pro")
    database.execute("update feature_flags set kill_switch = true where name = 'tried'")
    expect(page.locator("#trial .outcome")).to_contain_text("off")
    expect(page.locator("#trial .failed")).to_contain_text("kill switch")
