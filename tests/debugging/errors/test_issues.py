"""The life of an issue: new, counted, resolved, back again, ignored for a while, merged and split; by every hand."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest

from tests.debugging.sending import Sender, key_of, new_event

Database = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def sender(anonymous: httpx.Client, database: Database) -> Sender:
    return Sender(anonymous, key_of(database))


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of error of the test's own, and so an issue of its own."""
    return "".join(part.title() for part in request.node.name.split("_"))[:60]


def issue_of(api: httpx.Client, event_id: str) -> dict[str, Any]:
    event = api.get(f"/api/admin/errors/events/{event_id}").raise_for_status().json()
    return api.get(f"/api/admin/errors/{event['issue_id']}").raise_for_status().json()["issue"]


def test_events_of_one_kind_are_one_issue(sender: Sender, api: httpx.Client, kind: str) -> None:
    first, second = sender.event(kind, release="1.0"), sender.event(kind, user={"id": "7"}, release="1.1")
    issue = issue_of(api, first)
    assert issue == issue_of(api, second)
    assert (issue["events"], issue["people"], issue["status"]) == (2, 2, "unresolved")
    assert (issue["first_release"], issue["last_release"]) == ("1.0", "1.1")
    assert issue["title"].startswith(kind)
    detail = api.get(f"/api/admin/errors/{issue['id']}").json()
    assert [(group["events"], group["parts"][0]) for group in detail["groups"]] == [(2, ["type", kind])]
    assert sum(step["events"] for step in detail["trend"]) == 2
    assert {"field": "release", "value": "1.0", "events": 1} in detail["values"]


def test_a_resolved_issue_comes_back_as_a_regression(
    sender: Sender, api: httpx.Client, database: Database, kind: str
) -> None:
    issue = issue_of(api, sender.event(kind))["id"]
    resolved = api.post(f"/api/admin/errors/{issue}/resolve", json={"reason": "fixed in 1.2"}).json()
    assert resolved["status"] == "resolved"
    assert resolved["resolved_at"]
    back = issue_of(api, sender.event(kind))
    assert (back["status"], back["regressed_at"] is not None) == ("unresolved", True)
    actions = database.execute(
        "select action, reason from security_audit where target_kind = 'error_issue' and target = %s order by id",
        [str(issue)],
    ).fetchall()
    assert actions == [("error_issue.change", "fixed in 1.2"), ("error_issue.regress", None)]


def test_an_event_from_before_it_was_resolved_is_no_regression(sender: Sender, api: httpx.Client, kind: str) -> None:
    issue = issue_of(api, sender.event(kind))["id"]
    api.post(f"/api/admin/errors/{issue}/resolve")
    sender.event(kind, timestamp="2026-01-01T00:00:00Z")  # so long ago that it counts as just now
    assert issue_of(api, sender.event(kind))["status"] == "unresolved"
    api.post(f"/api/admin/errors/{issue}/resolve")
    from datetime import UTC, datetime, timedelta

    earlier = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert issue_of(api, sender.event(kind, timestamp=earlier))["status"] == "resolved"


def test_resolved_in_the_next_release_it_may_still_happen_in_this_one(
    sender: Sender, api: httpx.Client, kind: str
) -> None:
    sender.event(kind, release=f"{kind}-1")
    issue = issue_of(api, sender.event(kind, release=f"{kind}-2"))["id"]
    api.post(f"/api/admin/errors/{issue}/resolve", json={"in_next_release": True})
    assert issue_of(api, sender.event(kind, release=f"{kind}-2"))["status"] == "resolved"
    assert issue_of(api, sender.event(kind, release=f"{kind}-1"))["status"] == "resolved"
    assert issue_of(api, sender.event(kind, release=f"{kind}-3"))["status"] == "unresolved"


@pytest.mark.parametrize("until", [{"events": 2}, {"people": 2}])
def test_an_ignored_issue_is_seen_again_once_it_grows(
    sender: Sender, api: httpx.Client, kind: str, until: dict[str, int]
) -> None:
    kind = kind.replace("[", "").replace("]", "")
    issue = issue_of(api, sender.event(kind))["id"]
    assert api.post(f"/api/admin/errors/{issue}/ignore", json=until).json()["status"] == "ignored"
    assert issue_of(api, sender.event(kind, user={"id": "a"}))["status"] == "ignored"
    after = issue_of(api, sender.event(kind, user={"id": "b"}))
    assert (after["status"], after["ignored_until_events"]) == ("unresolved", None)


def test_merged_issues_stay_merged_and_a_split_stays_split(sender: Sender, api: httpx.Client, kind: str) -> None:
    one, two = issue_of(api, sender.event(kind))["id"], issue_of(api, sender.event(f"{kind}Too"))["id"]
    merged = api.post(f"/api/admin/errors/{one}/merge", json={"issues": [two]}).json()
    assert (merged["id"], merged["events"], merged["people"]) == (one, 2, 1)
    assert issue_of(api, sender.event(f"{kind}Too"))["id"] == one
    assert api.get(f"/api/admin/errors/{two}").json()["issue"]["id"] == one
    groups = api.get(f"/api/admin/errors/{one}").json()["groups"]
    own = next(group["id"] for group in groups if group["parts"][0][1].endswith("Too"))
    made = api.post(f"/api/admin/errors/{one}/split", json={"groups": [own]}).json()
    assert made["events"] == 2
    assert made["title"].startswith(f"{kind}Too")
    assert issue_of(api, sender.event(f"{kind}Too"))["id"] == made["id"]
    assert issue_of(api, sender.event(kind))["events"] == 2


def test_what_cannot_be_merged_or_split_is_refused(sender: Sender, api: httpx.Client, kind: str) -> None:
    issue = issue_of(api, sender.event(kind))["id"]
    group = api.get(f"/api/admin/errors/{issue}").json()["groups"][0]["id"]
    refused = [
        api.post(f"/api/admin/errors/{issue}/merge", json={"issues": [issue]}),
        api.post(f"/api/admin/errors/{issue}/merge", json={"issues": [10**12]}),
        api.post(f"/api/admin/errors/{issue}/split", json={"groups": [group]}),
        api.post(f"/api/admin/errors/{issue}/split", json={"groups": [10**12]}),
        api.post(f"/api/admin/errors/{10**12}/resolve"),
    ]
    assert [answer.status_code for answer in refused] == [422, 404, 422, 404, 404]


def test_an_issue_is_assigned_discussed_and_deleted(sender: Sender, api: httpx.Client, kind: str) -> None:
    event = sender.event(kind)
    issue = issue_of(api, event)["id"]
    api.post(f"/api/admin/errors/{issue}/assign", json={"assignee": "ada"}).raise_for_status()
    comment = api.post(f"/api/admin/errors/{issue}/comments", json={"text": "Only with the old client."}).json()
    assert comment["actor"] == "ADMIN_TOKEN"
    assert [found["id"] for found in api.get("/api/admin/errors", params={"assignee": "ada"}).json()["issues"]] == [
        issue
    ]
    assert api.delete(f"/api/admin/errors/{issue}").status_code == 204
    assert api.get(f"/api/admin/errors/events/{event}").status_code == 404
    assert issue_of(api, sender.event(kind))["id"] != issue


def test_typed_into_psql_it_is_the_same_lever(sender: Sender, api: httpx.Client, database: Database, kind: str) -> None:
    issue = issue_of(api, sender.event(kind))["id"]
    database.execute("update error_issues set status = 'resolved' where id = %s", [issue])
    assert issue_of(api, sender.event(kind))["regressed_at"]
    with pytest.raises(psycopg.errors.CheckViolation, match="an issue is unresolved, resolved, ignored or merged"):
        database.execute("update error_issues set status = 'gone' where id = %s", [issue])


def test_a_flood_is_thinned_out_and_counted_whole(
    sender: Sender, api: httpx.Client, database: Database, kind: str
) -> None:
    last = ""
    for _ in range(12):
        answer = sender.send(*(("event", new_event(kind)) for _ in range(10)))
        last = answer.json()["id"]
    row = database.execute(
        "select i.events, count(*), sum(e.stands_for) from error_issues i join error_groups g on g.issue_id = i.id"
        " join error_events e on e.group_id = g.id where i.title like %s group by i.events",
        [f"{kind}%"],
    ).fetchone()
    assert row == (120, 102, 120)
    assert last


def test_issues_and_events_are_found_by_what_is_known_of_them(sender: Sender, api: httpx.Client, kind: str) -> None:
    facts = {"transaction": f"/{kind}", "user": {"id": kind}, "release": kind, "environment": "lab"}
    wanted = sender.event(kind, **facts, tags={"plan": kind}, level="fatal")
    sender.event(f"{kind}Other")
    asked = [
        *({"endpoint": f"/{kind}"}, {"user": kind}, {"release": kind}, {"environment": "lab", "text": kind.upper()}),
        *({"tag": f"plan={kind}"}, {"endpoint": f"/{kind}", "user": kind, "since": "2020-01-01T00:00:00Z"}),
    ]
    for each in asked:
        events = api.get("/api/admin/errors/events", params=each).raise_for_status().json()["events"]
        assert [event["event_id"].replace("-", "") for event in events] == [wanted], each
        issues = api.get("/api/admin/errors", params=each).raise_for_status().json()["issues"]
        assert [issue["level"] for issue in issues] == ["fatal"], each
    assert api.get("/api/admin/errors/events", params={"user": kind, "level": "info"}).json()["events"] == []


def test_lists_are_read_page_by_page(sender: Sender, api: httpx.Client, kind: str) -> None:
    sent = [sender.event(f"{kind}{number}", transaction=f"/{kind}") for number in range(5)]
    for path, name in (("/api/admin/errors/events", "events"), ("/api/admin/errors", "issues")):
        found: list[Any] = []
        after: str | None = ""
        while after is not None:
            params = {"endpoint": f"/{kind}", "limit": 2, "after": after}
            page = (
                api.get(path, params={name: value for name, value in params.items() if value}).raise_for_status().json()
            )
            found += page[name]
            after = page["next"]
        assert len(found) == len({str(each) for each in found}) == len(sent)
    assert api.get("/api/admin/errors", params={"after": "nowhere"}).status_code == 422
