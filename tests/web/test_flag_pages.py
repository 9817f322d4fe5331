"""The flag pages' levers, pulled by plain forms."""

from __future__ import annotations

import re
import uuid
from typing import Any

import httpx
import psycopg
import pytest

from tests.web.person import Person, text_of

FLAGS = "/api/admin/feature-flags"


def flag(api: httpx.Client, name: str) -> dict[str, Any]:
    return api.get(f"{FLAGS}/{name}").json()


def test_a_flag_is_created_by_a_form(operator: Person, api: httpx.Client) -> None:
    made = operator.submit(
        "/ops/flags/-/new",
        name="by-form",
        description="From the console",
        owner="web",
        tags="one, two one",
        rollout_percentage="0.01",
        enabled="true",
    )
    assert made.status_code == 303
    shown = flag(api, "by-form")
    assert (shown["enabled"], shown["rollout_percentage"], shown["tags"]) == (True, 0.01, ["one", "two"])
    assert "Created, enabled at 0.01 %" in text_of(operator.get(made.headers["location"]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", name) for name in ("", "a/b", "..", "a?b", "x" * 10_000, "a#b", "a b", "50%", "a\0")),
        *(("rollout_percentage", number) for number in ("", "-1", "100.01", "NaN", "1e1", "0.005", "Infinity", "१")),
        ("enabled", "perhaps"),
        ("tags", "t" * 51),
        ("owner", "o" * 201),
        ("description", "d\0"),
    ],
)
def test_what_will_not_do_comes_back_with_the_reason(operator: Person, field: str, value: str) -> None:
    fields = {"name": "refused", "rollout_percentage": "5", field: value}
    refused = operator.submit("/ops/flags/-/new", **fields)
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert operator.get("/ops/flags/refused").status_code == 404


def test_a_taken_name_is_refused_and_changes_nothing(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "taken", "owner": "first"})
    assert operator.submit("/ops/flags/-/new", name="taken", owner="second", rollout_percentage="1").status_code == 409
    assert flag(api, "taken")["owner"] == "first"


def test_kill_revive_and_undo_leave_person_reason_and_revision(
    operator: Person, api: httpx.Client, database: psycopg.Connection
) -> None:
    api.post(FLAGS, json={"name": "lever", "enabled": True})
    confirm = operator.get("/ops/flags/lever/kill")
    assert "off for everybody" in text_of(confirm)
    killed = operator.submit("/ops/flags/lever", kill_switch="true", reason="payments fail")
    assert flag(api, "lever")["state"] == "killed"
    page = operator.get(killed.headers["location"])
    assert "kill_switch → true" in text_of(page)
    seen = re.search(r'name="revision" value="(\d+)"', page.text)
    assert seen is not None
    operator.submit("/ops/flags/lever/undo", revision=seen[1])
    assert flag(api, "lever")["state"] == "on"
    who = database.execute(
        "select actor, actor_kind, reason from security_audit"
        " where target = 'lever' and after ->> 'kill_switch' = 'true'"
    ).fetchone()
    assert who == ("operator@example.org", "operator", "payments fail")


def test_a_kill_without_scripts_says_who_obeys_and_who_is_behind(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "counted"})
    reader = {"id": str(uuid.uuid4()), "host": "<b>web</b>", "pid": 4711, "name": "celery", "revision": 1}
    api.post("/api/flags/confirmations", json=reader)
    assert re.search(r"\d+ workers? that follows? the flags", text_of(operator.get("/ops/flags/counted/kill")))
    killed = operator.submit("/ops/flags/counted", kill_switch="true", reason="test")
    page = text_of(operator.get(killed.headers["location"]))
    assert re.search(r"Obeyed by \d+ of \d+ workers.* so far", page)
    assert "celery on <b>web</b>, process 4711 at revision 1" in page
    revived = operator.submit("/ops/flags/counted", kill_switch="false", back="/ops/flags")
    listed = text_of(operator.get(revived.headers["location"]))
    assert re.search(r"counted is now off\. Obeyed by \d+ of \d+ workers", listed)


def test_undo_to_any_revision(operator: Person, api: httpx.Client) -> None:
    first = api.post(FLAGS, json={"name": "travel", "rollout_percentage": 1}).json()["revision"]
    for share in (2, 3):
        api.post(FLAGS, json={"name": "travel", "rollout_percentage": share})
    operator.submit("/ops/flags/travel/undo", to_revision=first)
    assert flag(api, "travel")["rollout_percentage"] == 1


@pytest.mark.parametrize("revision", ["0" * 5000, "9" * 19, "last", "²"])
def test_an_undo_to_no_revision_is_told_and_undoes_nothing(operator: Person, api: httpx.Client, revision: str) -> None:
    api.post(FLAGS, json={"name": "stays", "rollout_percentage": 1})
    held = api.post(FLAGS, json={"name": "stays", "rollout_percentage": 2}).json()["revision"]
    assert operator.submit("/ops/flags/stays/undo", to_revision=revision).status_code == 422
    assert flag(api, "stays")["revision"] == held


def test_an_undo_after_somebody_elses_change_is_refused(operator: Person, api: httpx.Client) -> None:
    seen = api.post(FLAGS, json={"name": "raced", "rollout_percentage": 10}).json()["revision"]
    api.post(FLAGS, json={"name": "raced", "rollout_percentage": 20})
    refused = operator.submit("/ops/flags/raced/undo", revision=seen)
    assert refused.status_code == 409
    assert "ADMIN_TOKEN changed 'raced' in between" in text_of(refused)
    assert flag(api, "raced")["rollout_percentage"] == 20


def test_a_rollout_on_a_stale_page_is_refused(operator: Person, api: httpx.Client) -> None:
    seen = api.post(FLAGS, json={"name": "stale", "rollout_percentage": 10}).json()["revision"]
    api.post(FLAGS, json={"name": "stale", "rollout_percentage": 20})
    refused = operator.submit("/ops/flags/stale", rollout_percentage="30", revision=seen)
    assert refused.status_code == 409
    assert flag(api, "stale")["rollout_percentage"] == 20


def test_a_lever_pulled_in_the_list_leads_back_to_the_same_view(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "listed", "tags": ["here"]})
    back = operator.submit("/ops/flags/listed", enabled="true", back="/ops/flags?tag=here")
    assert back.headers["location"] == "/ops/flags?tag=here&changed=listed"
    assert "listed is now on" in text_of(operator.get(back.headers["location"]))


def test_the_list_is_narrowed_by_text_state_and_tag(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "narrow-a", "tags": ["narrow"], "enabled": True})
    api.post(FLAGS, json={"name": "narrow-b", "tags": ["narrow"], "description": "Wombat"})

    def names(query: str) -> list[str]:
        page = operator.get(f"/ops/flags?{query}").text
        return re.findall(r'class="name" href="/ops/flags/([^"]+)"', page)

    assert names("tag=narrow") == ["narrow-a", "narrow-b"]
    assert names("tag=narrow&state=on") == ["narrow-a"]
    assert names("q=wombat+narrow") == ["narrow-b"]


def test_a_deleted_flag_can_be_brought_back_from_its_page(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "phoenix", "owner": "ash"})
    assert "Delete phoenix?" in text_of(operator.get("/ops/flags/phoenix/delete"))
    gone = operator.submit("/ops/flags/phoenix/delete", reason="code removed")
    page = operator.get(gone.headers["location"])
    assert "This flag is deleted" in text_of(page)
    seen = re.search(r'name="revision" value="(\d+)"', page.text)
    assert seen is not None
    operator.submit("/ops/flags/phoenix/undo", revision=seen[1])
    assert flag(api, "phoenix")["owner"] == "ash"


def test_a_viewer_sees_and_cannot_pull(viewer: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "look-only", "enabled": True})
    page = viewer.get("/ops/flags/look-only")
    assert page.status_code == 200
    assert "/ops/flags/look-only/kill" not in page.text
    for path, fields in [
        ("/ops/flags/look-only", {"kill_switch": "true"}),
        ("/ops/flags/look-only/undo", {}),
        ("/ops/flags/look-only/delete", {}),
        ("/ops/flags/-/new", {"name": "sneaked", "rollout_percentage": "1"}),
    ]:
        assert viewer.submit(path, **fields).status_code == 403
    assert flag(api, "look-only")["state"] == "on"


def test_text_from_people_is_shown_as_text(operator: Person, api: httpx.Client) -> None:
    attack = "<img src=x onerror=alert(1)>"
    api.post(
        FLAGS, json={"name": "hostile", "description": attack, "owner": attack, "tags": [attack], "reason": attack}
    )
    for path in ("/ops/flags/hostile", "/ops/flags", "/ops/audit", "/ops"):
        assert "<img" not in operator.get(path).text


FACTS: dict[str, Any] = {
    "description": "Two\nlines",
    "owner": "web",
    "tags": ["two words", "one"],
    "expires_at": "2031-01-31T12:00:00.123456Z",
}


def test_an_emptied_field_is_saved_as_empty(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "emptied", **FACTS})
    operator.submit("/ops/flags/emptied", description="", owner=" ", tags="", expires_at="", off_when_expired="false")
    found = flag(api, "emptied")
    assert [found[field] for field in FACTS] == ["", None, [], None]


def test_an_untouched_field_is_left_alone(operator: Person, api: httpx.Client) -> None:
    """Though the form cannot show all of it: a blank within a tag, a fraction of a second."""
    api.post(FLAGS, json={"name": "untouched", **FACTS})
    as_shown = {"description": "Two\r\nlines", "owner": "web", "tags": "two words one"}
    operator.submit("/ops/flags/untouched", **as_shown, expires_at="2031-01-31T12:00:00", off_when_expired="true")
    found = flag(api, "untouched")
    assert {field: found[field] for field in FACTS} == FACTS
    assert found["off_when_expired"]
    operator.submit("/ops/flags/untouched", **{**as_shown, "description": "One\r\nmore"})
    assert flag(api, "untouched")["description"] == "One\nmore"
