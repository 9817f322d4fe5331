"""`opsbook errors`: what it shows of strangers' texts, what it asks before it decides, what it exports."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest

from tests.command_line import Typed, opsbook
from tests.debugging.sending import Sender, key_of

Database = psycopg.Connection[Any]
HOSTILE = '=HYPERLINK("http://evil.example")\x1b[2J\x1b]0;owned\x07 <script>alert(1)</script> [red]'


@pytest.fixture(scope="module")
def sender(anonymous: httpx.Client, database: Database) -> Sender:
    return Sender(anonymous, key_of(database))


@pytest.fixture
def errors(ops_url: str) -> Any:
    def typed(*arguments: str) -> Typed:
        return opsbook("errors", *arguments, OPSBOOK_DATABASE_URL=ops_url)

    return typed


def issue_of(errors: Any, text: str) -> int:
    (found,) = errors("list", "--text", text, "--status", "all", "--json").json
    return int(found["id"])


def test_an_issue_is_found_shown_and_decided_about(sender: Sender, errors: Any) -> None:
    sender.event("FirstCommand", transaction="/first")
    issue = issue_of(errors, "FirstCommand")
    assert "FirstCommand" in errors("list", "--endpoint", "/first", "--since", "1h").out
    shown = errors("show", str(issue)).out
    assert "1 events, 1 people" in shown
    assert "endpoint: /first (1)" in shown
    asked = errors("resolve", str(issue))
    assert (asked.code, "add --yes" in asked.err) == (2, True)
    assert "would: Resolve issue" in errors("resolve", str(issue), "--dry-run").out
    assert errors("resolve", str(issue), "--yes", "--json").json["status"] == "resolved"
    assert errors("reopen", str(issue), "--yes", "--json").json["status"] == "unresolved"
    assert errors("ignore", str(issue), "--for", "7d", "--events", "10", "--yes", "--json").json["status"] == "ignored"
    assert errors("assign", str(issue), "ada", "--yes", "--json").json["assignee"] == "ada"
    assert "noted" in errors("comment", str(issue), "known").out
    assert "known" in errors("show", str(issue)).out


def test_merge_and_split(sender: Sender, errors: Any) -> None:
    sender.event("MergeOne")
    sender.event("MergeTwo")
    one, two = issue_of(errors, "MergeOne"), issue_of(errors, "MergeTwo")
    assert errors("merge", str(one), str(two), "--yes", "--json").json["events"] == 2
    group = next(g["id"] for g in errors("show", str(one), "--json").json["groups"] if g["parts"][0][1] == "MergeTwo")
    made = errors("split", str(one), str(group), "--yes", "--json").json
    assert (made["events"], made["id"] not in {one, two}) == (1, True)
    assert errors("delete", str(made["id"]), "--yes").code == 0
    assert errors("show", str(made["id"])).code == 3


def test_what_strangers_write_does_nothing_to_a_terminal(sender: Sender, errors: Any) -> None:
    event_id = sender.event(
        "Hostile", message=HOSTILE, exception=None, transaction=HOSTILE[:80], user={"id": HOSTILE[:80]}
    )
    issue = issue_of(errors, "owned")
    for arguments in (
        ["list"],
        ["show", str(issue)],
        ["events"],
        ["event", event_id],
        ["resolve", str(issue), "--dry-run"],
    ):
        typed = errors(*arguments)
        assert typed.code == 0
        assert "HYPERLINK" in typed.out
        assert "\x1b" not in typed.out
        assert "\x07" not in typed.out


def test_what_strangers_write_is_no_formula_in_a_spreadsheet(sender: Sender, errors: Any) -> None:
    sender.event("Formula", message=HOSTILE, exception=None, user={"id": "=1+1"})
    exported = errors("events", "--user", "=1+1", "--csv").out
    assert exported.startswith("event_id,issue_id,occurred_at")
    assert "'=1+1" in exported
    assert ",=1+1" not in exported
    assert "\"'=HYPERLINK" in exported


def test_a_project_and_its_keys(errors: Any, database: Database, anonymous: httpx.Client) -> None:
    made = errors("project", "create", "shop", "--per-hour", "5", "--json").json
    assert made["dsn"].endswith(f"@127.0.0.1:8000/{made['id']}")
    assert errors("project", "create", "shop").code == 3
    assert errors("project", "create", "No Name").code == 2
    assert errors("project", "quota", "shop", "--per-minute", "7", "--yes").code == 0
    (shop,) = [each for each in errors("project", "list", "--json").json if each["name"] == "shop"]
    assert (shop["events_per_minute"], shop["events_per_hour"]) == (7, None)
    key = errors("key", "create", "shop", "--label", "pages", "--json").json["public_key"]
    assert errors("key", "disable", key, "--yes").code == 0
    assert f"{key}@127.0.0.1:8000/{made['id']}  shop, pages, disabled" in errors("key", "list", "--project", "shop").out
    assert errors("key", "enable", key, "--yes").code == 0
    assert errors("key", "disable", "0" * 32, "--yes").code == 3


@pytest.mark.parametrize("wrong", [["list", "--status", "odd"], ["list", "--tag", "plan"], ["event", "no-id"]])
def test_wrong_usage(errors: Any, wrong: list[str]) -> None:
    assert errors(*wrong).code == 2
