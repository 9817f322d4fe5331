"""Whom a flag is for, edited by plain forms: rules, segments, variants, prerequisites, expiry; tried and compared."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.web.person import Person, text_of

FLAGS = "/api/admin/feature-flags"
ONE_CONDITION: dict[str, Any] = {
    "field": "plan",
    "sense": "is",
    "operator": "in",
    "values": "pro, team",
    "case": "exact",
    "percentage": "100",
    "stickiness": "",
    "name": "paying",
}


def flag(api: httpx.Client, name: str) -> dict[str, Any]:
    return api.get(f"{FLAGS}/{name}").json()


def test_a_rule_is_added_changed_and_removed(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "ruled", "enabled": True, "rollout_percentage": 0})
    added = operator.submit("/ops/flags/ruled/rules/new", **ONE_CONDITION)
    assert added.status_code == 303, text_of(added)
    assert "rule paying → plan in pro, team" in text_of(operator.get(added.headers["location"]))
    two: dict[str, Any] = {
        "field": ["plan", "", "country"],
        "sense": ["is", "is", "not"],
        "operator": ["in", "in", "in"],
        "values": ["pro", "", 'DE, "A, B"'],
        "case": ["any", "exact", "exact"],
        "percentage": "12.5",
        "stickiness": "companyId",
        "name": "paying",
        "reason": "narrower",
    }
    assert operator.submit("/ops/flags/ruled/rules/1", **two).status_code == 303
    assert flag(api, "ruled")["rules"] == [
        {
            "name": "paying",
            "constraints": [
                {"field": "plan", "operator": "in", "values": ["pro"], "case_insensitive": True},
                {"field": "country", "operator": "in", "values": ["DE", "A, B"], "inverted": True},
            ],
            "percentage": 12.5,
            "stickiness": "companyId",
        }
    ]
    form = operator.get("/ops/flags/ruled/rules/1").text
    assert "DE,&#34;A, B&#34;" in form
    assert operator.submit("/ops/flags/ruled/rules/1", do="remove").status_code == 303
    assert flag(api, "ruled")["rules"] == []


def test_a_rule_has_a_group_and_variants_of_its_own(operator: Person, api: httpx.Client) -> None:
    held = [{"name": "blue", "value": "#00f", "stickiness": "companyId"}]
    rule = {"constraints": [], "percentage": 50, "group": "shared", "variants": held}
    api.post(FLAGS, json={"name": "own", "value_type": "string", "rules": [rule]})
    form = operator.get("/ops/flags/own/rules/1").text
    assert 'name="group" value="shared"' in form
    assert ">#00f</textarea>" in form
    rows: dict[str, Any] = {"variant": ["blue", "green", ""], "weight": ["1", "3", "1"], "value": ["#00f", "#0f0", ""]}
    rows |= {"always": ["", "plan in pro", ""], "group": "other"}
    more = operator.submit("/ops/flags/own/rules/1", **ONE_CONDITION, **rows, do="more-variants")
    assert more.text.count('name="variant"') == 3
    assert operator.submit("/ops/flags/own/rules/1", **ONE_CONDITION, **rows).status_code == 303
    (changed,) = flag(api, "own")["rules"]
    assert changed["group"] == "other"
    assert [(each["name"], each["value"]) for each in changed["variants"]] == [("blue", "#00f"), ("green", "#0f0")]
    assert changed["variants"][0]["stickiness"] == "companyId", "what the form does not show"
    assert "group other, as blue 1, green 3" in text_of(operator.get("/ops/flags/own"))
    operator.submit("/ops/flags/own/rules/1", **ONE_CONDITION)
    (plain,) = flag(api, "own")["rules"]
    assert not {"group", "variants"} & plain.keys()


def test_rules_change_places(operator: Person, viewer: Person, api: httpx.Client) -> None:
    rules = [{"name": name, "percentage": 5} for name in ("first", "second")]
    seen = api.post(FLAGS, json={"name": "moved", "rules": rules}).json()["revision"]
    path = "/ops/flags/moved/rules"
    assert operator.submit(f"{path}/2/move", do="up", revision=seen).status_code == 303
    assert [each["name"] for each in flag(api, "moved")["rules"]] == ["second", "first"]
    assert operator.submit(f"{path}/1/move", do="down", revision=seen).status_code == 409, "somebody was faster"
    assert operator.submit(f"{path}/1/move", do="down").status_code == 303
    for place, do in (("1", "up"), ("2", "down"), ("3", "up"), ("new", "up")):
        refused = operator.submit(f"{path}/{place}/move", do=do)
        assert (refused.status_code in (404, 409), 'role="alert"' in refused.text) == (True, True)
    assert viewer.submit(f"{path}/2/move", do="up").status_code == 403
    assert [each["name"] for each in flag(api, "moved")["rules"]] == ["first", "second"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"operator": "sounds_like"}, "there is no operator"),
        ({"operator": "number_above", "values": "old"}, "a number"),
        ({"operator": "matches", "values": "("}, "no RE2 pattern"),
        ({"values": '"open'}, "are no values"),
        ({"percentage": "0.005"}, "steps of 0.01"),
        ({"percentage": "NaN"}, "steps of 0.01"),
        ({"field": "", "values": ""}, "needs a condition"),
        ({"segment": "nowhere"}, "nowhere"),
        ({"revision": "2000000000"}, "somebody changed it in between"),
        ({"field": "f" * 201}, "a constraint has field"),
    ],
)
def test_what_is_no_rule_comes_back_with_the_reason(
    operator: Person, api: httpx.Client, fields: dict[str, Any], says: str
) -> None:
    api.post(FLAGS, json={"name": "unruled"})
    refused = operator.submit("/ops/flags/unruled/rules/new", **{**ONE_CONDITION, **fields})
    assert refused.status_code in (409, 422), text_of(refused)
    assert says in text_of(refused)
    assert 'value="paying"' in refused.text
    assert flag(api, "unruled")["rules"] == []


def test_a_form_without_scripts_grows_by_asking(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "growing"})
    more = operator.submit("/ops/flags/growing/rules/new", **ONE_CONDITION, do="more")
    assert more.text.count('name="field"') == 2
    assert "pro, team" in more.text
    assert flag(api, "growing")["rules"] == []


def test_a_form_that_comes_back_still_stands_for_the_state_that_was_seen(operator: Person, api: httpx.Client) -> None:
    seen = api.post(FLAGS, json={"name": "old-form"}).json()["revision"]
    api.post(FLAGS, json={"name": "old-form", "variants": [{"name": "blue"}]})
    fields: dict[str, Any] = {"variant": "green", "weight": "1", "value": "", "always": "", "value_type": "boolean"}
    for do in ("more", "save"):
        answer = operator.submit("/ops/flags/old-form/variants", **fields, revision=seen, do=do)
        assert f'name="revision" value="{seen}"' in answer.text
    assert answer.status_code == 409
    assert [each["name"] for each in flag(api, "old-form")["variants"]] == ["blue"]


def test_a_segment_is_made_used_and_not_lost(operator: Person, api: httpx.Client) -> None:
    condition: dict[str, Any] = {
        "field": "email",
        "sense": "is",
        "operator": "ends_with",
        "values": "@example.org",
        "case": "any",
    }
    made = operator.submit("/ops/flags/-/new-segment", name="staff", description="Ours", **condition)
    assert made.status_code == 303, text_of(made)
    api.post(FLAGS, json={"name": "for-staff", "enabled": True, "rollout_percentage": 0})
    operator.submit("/ops/flags/for-staff/rules/new", **{**ONE_CONDITION, "field": "", "segment": "staff"})
    listed = text_of(operator.get("/ops/flags/-/segments"))
    assert "email ends_with @example.org in any case" in listed
    assert "for-staff" in listed
    refused = operator.submit("/ops/flags/-/segments/staff", do="delete", **condition)
    assert "needed by for-staff" in text_of(refused)
    again = operator.submit("/ops/flags/-/new-segment", name="staff", **condition)
    assert (again.status_code, "already" in text_of(again)) == (422, True)
    assert operator.submit("/ops/flags/-/segments/staff", **{**condition, "values": "@example.com"}).status_code == 303
    tried = text_of(operator.get("/ops/flags/for-staff?key=u1&context=email%3Da%40EXAMPLE.com"))
    assert "yes paying: in the segments staff" in tried
    operator.submit("/ops/flags/for-staff/rules/1", do="remove")
    assert operator.submit("/ops/flags/-/segments/staff", do="delete", **condition).status_code == 303
    assert "/ops/flags/-/segments/staff" not in operator.get("/ops/flags/-/segments").text


def test_a_segment_changed_in_between_is_not_overwritten(operator: Person, api: httpx.Client) -> None:
    condition: dict[str, Any] = {"field": "plan", "sense": "is", "operator": "in", "values": "pro", "case": "exact"}
    operator.submit("/ops/flags/-/new-segment", name="raced", **condition)
    found = re.search(r'name="revision" value="(\d+)"', operator.get("/ops/flags/-/segments/raced").text)
    assert found is not None
    team = {"constraints": [{"field": "plan", "operator": "in", "values": ["team"]}]}
    api.put("/api/admin/flag-segments/raced", json=team)
    for do in ("save", "more", "delete"):
        answer = operator.submit("/ops/flags/-/segments/raced", **condition, revision=found[1], do=do)
        assert f'name="revision" value="{found[1]}"' in answer.text
        assert (answer.status_code == 409) == (do != "more"), text_of(answer)
    assert "somebody changed it in between" in text_of(answer)
    assert api.get("/api/admin/flag-segments/raced").json()["constraints"] == team["constraints"]


def test_variants_and_their_type_change_together(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "coloured"})
    rows: dict[str, Any] = {
        "variant": ["blue", "", "green"],
        "weight": ["3", "1", "0"],
        "value": ['{"hex": "#00f"}', "", "{}"],
        "always": ["", "", "plan in pro\nuserId in u1, u2"],
        "value_type": "object",
        "stickiness": "companyId",
    }
    saved = operator.submit("/ops/flags/coloured/variants", **rows)
    assert saved.status_code == 303, text_of(saved)
    shown = flag(api, "coloured")
    assert (shown["value_type"], [each["name"] for each in shown["variants"]]) == ("object", ["blue", "green"])
    first = {"name": "blue", "weight": 3, "value": {"hex": "#00f"}, "stickiness": "companyId"}
    assert shown["variants"][0] == first
    assert shown["variants"][1]["overrides"][1] == {"field": "userId", "values": ["u1", "u2"]}
    refused = operator.submit("/ops/flags/coloured/variants", **{**rows, "value_type": "number"})
    assert (refused.status_code, "is no number" in text_of(refused)) == (422, True)
    assert flag(api, "coloured")["value_type"] == "object"


def test_a_prerequisite_is_set_and_a_circle_refused(operator: Person, api: httpx.Client) -> None:
    for name in ("parent", "child"):
        api.post(FLAGS, json={"name": name, "enabled": True})
    row: dict[str, Any] = {"flag": "parent", "wanted": "off", "variants": ""}
    assert operator.submit("/ops/flags/child/prerequisites", **row).status_code == 303
    assert flag(api, "child")["prerequisites"] == [{"flag": "parent", "enabled": False}]
    circle = operator.submit("/ops/flags/parent/prerequisites", **{**row, "flag": "child"})
    assert "lead back to it" in text_of(circle)
    assert "no prerequisite parent is off" in text_of(operator.get("/ops/flags/child?key=u1"))


def test_expiry_is_set_in_utc_and_taken_away(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "expiring"})
    operator.submit("/ops/flags/expiring", expires_at="2031-01-31T12:00", off_when_expired="true")
    shown = flag(api, "expiring")
    assert (shown["expires_at"], shown["off_when_expired"]) == ("2031-01-31T12:00:00Z", True)
    assert 'value="2031-01-31T12:00:00"' in operator.get("/ops/flags/expiring").text
    operator.submit("/ops/flags/expiring", expires_at="", off_when_expired="false")
    assert flag(api, "expiring")["expires_at"] is None


def test_a_context_is_tried_step_by_step(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "tried", "enabled": True, "rollout_percentage": 25})
    page = operator.get("/ops/flags/tried?key=u1&context=plan%3Dpro")
    found = re.search(r"(yes|no) rollout: inside 25 % 'u1' falls at ([\d.]+)", text_of(page))
    assert found is not None, text_of(page)
    assert (float(found[2]) < 25) == (found[1] == "yes")
    assert f'<line x1="{float(found[2]):g}%"' in page.text
    assert "is no field of a context" in text_of(operator.get("/ops/flags/tried?key=u1&context=plan"))


def test_a_revision_is_compared_with_now(operator: Person, api: httpx.Client) -> None:
    first = api.post(FLAGS, json={"name": "compared", "rollout_percentage": 1, "reason": "begin"}).json()["revision"]
    rule = {"name": "paying", "constraints": [{"field": "plan", "operator": "in", "values": ["pro"]}]}
    api.post(FLAGS, json={"name": "compared", "rules": [rule]})
    page = text_of(operator.get(f"/ops/flags/compared/revisions/{first}"))
    assert "“begin”" in page
    assert "From then to now rule paying plan in pro" in page
    assert operator.get("/ops/flags/compared/revisions/999999").status_code == 200
    assert operator.get(f"/ops/flags/compared/revisions/{first - 1 or 1}").status_code in (200, 404)


def test_a_viewer_sees_whom_it_is_for_and_changes_nothing(viewer: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "look-only", "rules": [{"percentage": 5, "stickiness": "companyId"}]})
    page = viewer.get("/ops/flags/look-only?key=u1")
    assert "5 % of everybody, by companyId" in text_of(page)
    for path in ("rules/new", "rules/1", "variants", "prerequisites"):
        assert f"/ops/flags/look-only/{path}" not in page.text
        assert viewer.get(f"/ops/flags/look-only/{path}").status_code == 403
        assert viewer.submit(f"/ops/flags/look-only/{path}", **ONE_CONDITION).status_code == 403
    assert viewer.submit("/ops/flags/-/new-segment", **ONE_CONDITION).status_code == 403


def test_hostile_words_are_shown_as_words(operator: Person, api: httpx.Client) -> None:
    attack = "<img src=x onerror=alert(1)>"
    rule = {"name": attack, "constraints": [{"field": attack, "operator": "in", "values": [attack]}]}
    api.put("/api/admin/flag-segments/hostile", json={"description": attack, "constraints": rule["constraints"]})
    variant = {"name": attack, "value": attack, "overrides": [{"field": attack, "values": [attack]}]}
    api.post(FLAGS, json={"name": "hostile", "value_type": "string", "rules": [rule], "variants": [variant]})
    for path in ("hostile?key=%3Cimg+&context=%3Cimg+src=1", "hostile/rules/1", "hostile/variants", "-/segments"):
        page = operator.get(f"/ops/flags/{path}")
        assert page.status_code == 200
        assert "<img" not in page.text
