"""The errors in the console, without scripts: found by their address, shown as text, decided about and undone."""

from __future__ import annotations

import re
from typing import Any

import httpx
import psycopg
import pytest

from tests.debugging.sending import Sender, key_of
from tests.web.conftest import operator, owner, viewer
from tests.web.person import Person, text_of

__all__ = ["operator", "owner", "viewer"]

Database = psycopg.Connection[Any]
HOSTILE = "<script>alert(1)</script>\"'><img src=x>\x1b[2J\u202e"


@pytest.fixture(scope="module")
def sender(anonymous: httpx.Client, database: Database) -> Sender:
    return Sender(anonymous, key_of(database))


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of error of the test's own, and so an issue of its own."""
    return "".join(part.title() for part in request.node.name.split("_"))[:60]


def issue_of(api: httpx.Client, event_id: str) -> int:
    return api.get(f"/api/admin/errors/events/{event_id}").raise_for_status().json()["issue_id"]


def issue_in(api: httpx.Client, issue: int) -> dict[str, Any]:
    return api.get(f"/api/admin/errors/{issue}").raise_for_status().json()["issue"]


def rows(page: httpx.Response) -> list[int]:
    return [int(number) for number in re.findall(r'<tr data-row="(\d+)" data-revision', page.text)]


def undo_in(page: httpx.Response) -> dict[str, str]:
    """The fields of the form that takes back what was just done."""
    notice = page.text.partition('class="notice done"')[2].partition("</div>")[0]
    return dict(re.findall(r'name="(record|group|into)" value="(\d+)"', notice))


def test_the_list_is_narrowed_by_its_address(viewer: Person, sender: Sender, api: httpx.Client, kind: str) -> None:
    event = sender.event(
        kind, release="shop@9", environment="staging", level="fatal", tags={"plan": "gold"}, user={"id": "ada/9"}
    )
    issue = issue_of(api, event)
    for query in (
        f"text={kind}",
        "release=shop@9",
        "environment=staging",
        "level=fatal",
        "tag=plan%3Dgold",
        "user=ada/9",
        "endpoint=/orders/{order_id}&release=shop@9&within=1h",
    ):
        assert rows(viewer.get(f"/ops/errors?{query}")) == [issue], query
    for query in (f"text={kind}&level=warning", f"text={kind}&status=resolved", "user=nobody", "tag=plan%3Dlead"):
        assert rows(viewer.get(f"/ops/errors?{query}")) == [], query
    assert "No error matches" in text_of(viewer.get("/ops/errors?user=nobody"))


@pytest.mark.parametrize("query", ["tag=plan", "trace=xyz", "before=yesterday"])
def test_a_malformed_filter_is_told(viewer: Person, query: str) -> None:
    assert viewer.get(f"/ops/errors?{query}").status_code == 422


@pytest.mark.parametrize("query", ["text=%00%25_", "status=odd", "within=forever", "level=loud", "text=" + "x" * 5000])
def test_an_odd_filter_finds_nothing_odd(viewer: Person, query: str) -> None:
    assert viewer.get(f"/ops/errors?{query}").status_code == 200


def test_the_list_is_paged(viewer: Person, database: Database) -> None:
    database.execute(
        "insert into error_issues (project_id, title, level, first_seen, last_seen)"
        " select 1, 'Paged ' || n, 'error', now(), now() - n * interval '1 hour' from generate_series(1, 120) n"
    )
    address, seen = "/ops/errors?text=Paged", list[int]()
    while address:
        page = viewer.get(address)
        seen += rows(page)
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 120


def test_what_a_stranger_wrote_is_text(viewer: Person, sender: Sender, api: httpx.Client) -> None:
    event = sender.event(
        HOSTILE,
        transaction=HOSTILE,
        release=HOSTILE,
        user={"id": HOSTILE, "name": HOSTILE},
        tags={HOSTILE: HOSTILE},
        request={"url": HOSTILE, "method": "GET", "headers": {HOSTILE: HOSTILE}, "data": [HOSTILE, [1, 2, 3]]},
        breadcrumbs={"values": [{"message": HOSTILE, "data": {"x": HOSTILE}, "timestamp": {}}]},
        contexts={HOSTILE: {HOSTILE: HOSTILE}},
        extra={HOSTILE: [HOSTILE]},
    )
    issue = issue_of(api, event)
    for path in ("", f"/{issue}", f"/{issue}/events/{event}"):
        page = viewer.get(f"/ops/errors{path}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "&lt;script&gt;alert(1)" in page.text


def test_an_event_shows_its_stack_request_person_and_what_led_to_it(
    operator: Person, viewer: Person, sender: Sender, api: httpx.Client, kind: str
) -> None:
    frames = [
        {"filename": "lib/framework.py", "function": "dispatch", "lineno": 7, "in_app": False},
        {
            "filename": "shop/orders.py",
            "function": "total",
            "lineno": 41,
            "in_app": True,
            "pre_context": ["def total(order):"],
            "context_line": "    return rates[currency]",
            "vars": {"currency": "'EUR'"},
        },
    ]
    cause = {"type": "LookupError", "value": "no rate", "stacktrace": {"frames": frames[1:]}}
    event = sender.event(
        exception={"values": [cause, {"type": kind, "value": "refused", "stacktrace": {"frames": frames}}]},
        request={"method": "POST", "url": "https://shop.example/orders", "headers": [["Accept", "text/html"]]},
        breadcrumbs={"values": [{"category": "query", "message": "select 17"}]},
        contexts={"trace": {"trace_id": "a" * 32, "span_id": "b" * 16}, "runtime": {"name": "CPython"}},
        user={"id": "u 17"},
        tags={"plan": "pro"},
    )
    path = f"/ops/errors/{issue_of(api, event)}/events/{event}"
    page = operator.get(path)
    said = text_of(page)
    assert said.index(kind) < said.index("It came from:") < said.index("LookupError")
    for part in (
        "shop/orders.py:41",
        "return rates[currency]",
        "'EUR'",
        "1 call of libraries",
        "select 17",
        "CPython",
    ):
        assert part in said, part
    assert "POST https://shop.example/orders" in said
    assert 'href="/ops/users/u%2017"' in page.text
    assert f"/ops/logs?trace={'a' * 32}" in page.text
    assert "/ops/users/" not in viewer.get(path).text, "whom a viewer may not follow"
    download = viewer.get(f"{path}/json")
    assert "attachment" in download.headers["Content-Disposition"]
    assert download.json()["user"]["id"] == "u 17"
    elsewhere = viewer.get(f"/ops/errors/999999/events/{event}")
    assert (elsewhere.status_code, elsewhere.headers["Location"]) == (303, path)


def test_an_event_of_a_flood_says_what_it_stands_for(
    viewer: Person, sender: Sender, api: httpx.Client, database: Database, kind: str
) -> None:
    event = sender.event(kind)
    database.execute("update error_events set stands_for = 100 where event_id = %s", [event])
    assert "stands for 100 events" in text_of(viewer.get(f"/ops/errors/{issue_of(api, event)}/events/{event}"))


@pytest.mark.parametrize(
    ("lever", "fields", "becomes"),
    [
        ("resolve", {"reason": "fixed"}, {"status": "resolved", "resolved_in_next_release": False}),
        ("resolve", {"when": "next release"}, {"status": "resolved", "resolved_in_next_release": True}),
        ("ignore", {"length": "for good", "events": "10"}, {"status": "ignored", "ignored_until_events": 11}),
        ("ignore", {"length": "for good", "people": "2"}, {"status": "ignored", "ignored_until_people": 3}),
        ("assign", {"assignee": "ada"}, {"assignee": "ada", "status": "unresolved"}),
    ],
)
def test_a_decision_is_undone(
    operator: Person,
    sender: Sender,
    api: httpx.Client,
    lever: str,
    fields: dict[str, str],
    becomes: dict[str, object],
) -> None:
    issue = issue_of(api, sender.event(f"Undone{lever}{len(str(fields))}"))
    before = issue_in(api, issue)
    done = operator.submit(f"/ops/errors/{issue}/{lever}", **fields)
    assert done.status_code == 303
    assert issue_in(api, issue).items() >= becomes.items()
    undo = undo_in(operator.get(done.headers["Location"]))
    assert operator.submit(f"/ops/errors/{issue}/undo", **undo).status_code == 303
    after = issue_in(api, issue)
    kept = ("status", "assignee", "ignored_until", "ignored_until_events", "resolved_in_next_release")
    assert [after[name] for name in kept] == [before[name] for name in kept]


def test_an_issue_that_is_ignored_for_a_day_is_reopened_by_hand(
    operator: Person, sender: Sender, api: httpx.Client, kind: str
) -> None:
    issue = issue_of(api, sender.event(kind))
    operator.submit(f"/ops/errors/{issue}/ignore", length="for a day")
    assert issue_in(api, issue)["ignored_until"] is not None
    assert issue in rows(operator.get("/ops/errors?status=ignored"))
    operator.submit(f"/ops/errors/{issue}/reopen", reason="it hurts")
    assert issue_in(api, issue)["status"] == "unresolved"


def test_what_changed_since_is_not_undone(operator: Person, sender: Sender, api: httpx.Client, kind: str) -> None:
    issue = issue_of(api, sender.event(kind))
    done = operator.submit(f"/ops/errors/{issue}/resolve")
    undo = undo_in(operator.get(done.headers["Location"]))
    sender.event(kind)
    assert issue in rows(operator.get("/ops/errors?status=regressed"))
    refused = operator.submit(f"/ops/errors/{issue}/undo", **undo)
    assert refused.status_code == 409
    assert "changed again since" in text_of(refused)


def test_issues_are_merged_and_split_and_both_undone(
    operator: Person, sender: Sender, api: httpx.Client, kind: str
) -> None:
    one, other = issue_of(api, sender.event(f"{kind}One")), issue_of(api, sender.event(f"{kind}Other"))
    merged = operator.submit(f"/ops/errors/{other}/merge", into=str(one))
    assert merged.headers["Location"].startswith(f"/ops/errors/{one}?joined=")
    assert operator.get(f"/ops/errors/{other}").headers["Location"] == f"/ops/errors/{one}"
    assert issue_in(api, one)["events"] == 2
    split = operator.submit(f"/ops/errors/{one}/split", **undo_in(operator.get(merged.headers["Location"])))
    page = operator.get(split.headers["Location"])
    assert issue_in(api, one)["events"] == 1
    back = operator.submit(split.headers["Location"].partition("?")[0] + "/merge", **undo_in(page))
    assert back.status_code == 303
    assert issue_in(api, one)["events"] == 2


@pytest.mark.parametrize("into", ["", "abc", "999999999"])
def test_a_merger_into_nothing_is_told(operator: Person, sender: Sender, api: httpx.Client, into: str) -> None:
    issue = issue_of(api, sender.event("MergedIntoNothing"))
    refused = operator.submit(f"/ops/errors/{issue}/merge", into=into)
    assert refused.status_code in {404, 422}
    assert 'role="alert"' in refused.text


def test_a_comment_is_made_and_taken_back(operator: Person, sender: Sender, api: httpx.Client, kind: str) -> None:
    issue = issue_of(api, sender.event(kind))
    operator.submit(f"/ops/errors/{issue}/comment", text="<b>Only</b> with the old client")
    page = operator.get(f"/ops/errors/{issue}")
    assert "<b>Only</b> with the old client" in text_of(page).replace("&lt;", "<")
    number = re.search(r'name="comment" value="(\d+)"', page.text)
    assert number is not None
    operator.submit(f"/ops/errors/{issue}/uncomment", comment=number[1])
    assert "old client" not in operator.get(f"/ops/errors/{issue}").text


def test_a_viewer_reads_and_decides_nothing(viewer: Person, sender: Sender, api: httpx.Client, kind: str) -> None:
    issue = issue_of(api, sender.event(kind))
    assert "Resolve" not in text_of(viewer.get(f"/ops/errors/{issue}"))
    for lever in ("resolve", "ignore", "assign", "undo", "comment", "merge", "split", "reopen"):
        assert viewer.submit(f"/ops/errors/{issue}/{lever}").status_code == 403, lever


def test_new_and_regressed_issues_stand_on_the_overview_until_somebody_has_them(
    operator: Person, sender: Sender, api: httpx.Client, kind: str
) -> None:
    issue = issue_of(api, sender.event(kind))
    assert f"{kind}: 'EUR' is new" in text_of(operator.get("/ops"))
    operator.submit(f"/ops/errors/{issue}/resolve")
    assert f"{kind}: 'EUR'" not in text_of(operator.get("/ops")).partition("What you can do")[0]
    sender.event(kind)
    assert f"{kind}: 'EUR' came back" in text_of(operator.get("/ops"))
    operator.submit(f"/ops/errors/{issue}/assign", assignee="ada")
    assert f"{kind}: 'EUR'" not in text_of(operator.get("/ops")).partition("What you can do")[0]


def test_the_search_finds_issues_by_title_and_number_and_events_by_id(
    viewer: Person, sender: Sender, api: httpx.Client, kind: str
) -> None:
    event = sender.event(kind)
    issue = issue_of(api, event)
    for text in (kind, str(issue)):
        assert f'href="/ops/errors/{issue}"' in viewer.get(f"/ops/search?q={text}").text, text
    assert f'href="/ops/errors/{issue}/events/{event}"' in viewer.get(f"/ops/search?q={event}").text
