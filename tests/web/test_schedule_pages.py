"""What is planned for a flag, by plain forms: dates, a ramp with its preview, pause, resume, cancellation."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.web.person import Person, text_of

FLAGS = "/api/admin/feature-flags"
SCHEDULES = "/api/admin/flag-schedules"
RAMP: dict[str, Any] = {"percentages": "1, 5 25,100", "every": "2", "unit": "hours", "start": "2099-01-01T09:00"}


def planned(api: httpx.Client, name: str) -> list[dict[str, Any]]:
    return api.get(SCHEDULES, params={"flag": name}).json()


def previewed(answer: httpx.Response) -> str:
    found = re.search(r'name="previewed" value="([^"]+)"', answer.text)
    assert found is not None, text_of(answer)
    return html.unescape(found[1])


def test_a_flag_goes_on_and_off_at_its_dates(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "sale"})
    page = "/ops/flags/sale/schedules"
    assert "Nothing is planned" in text_of(operator.get(page))
    made = operator.submit(f"{page}/dates", on_at="2099-06-01T00:00", off_at="2099-09-01T00:00:30", reason="summer")
    assert made.status_code == 303, text_of(made)
    (schedule,) = planned(api, "sale")
    assert [(each["enabled"], each["at"][:19]) for each in schedule["steps"]] == [
        (True, "2099-06-01T00:00:00"),
        (False, "2099-09-01T00:00:30"),
    ]
    told = text_of(operator.get(made.headers["location"]))
    assert f"Schedule {schedule['id']} waits: on" in told
    assert "Undo: cancel it" in told
    assert "2099-09-01 00:00 UTC" in told
    assert "operator@example.org" in told
    assert "On in" in text_of(operator.get("/ops/flags/sale"))


def test_a_step_that_was_written_with_an_offset_is_shown_in_utc(
    operator: Person, api: httpx.Client, database: psycopg.Connection
) -> None:
    api.post(FLAGS, json={"name": "elsewhere"})
    steps = Jsonb([{"at": "2099-06-01T01:30:00+02:00", "enabled": True}])
    database.execute("insert into flag_schedules (flag, steps) values ('elsewhere', %s)", [steps])
    assert "2099-05-31 23:30 UTC" in text_of(operator.get("/ops/flags/elsewhere/schedules"))


def test_a_ramp_is_made_as_it_was_previewed(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "ramped"})
    path = "/ops/flags/ramped/schedules/ramp"
    preview = operator.submit(path, **RAMP, do="preview")
    assert "on at 1 % 2099-01-01 09:00 UTC" in text_of(preview)
    assert "at 100 % 2099-01-01 15:00 UTC" in text_of(preview)
    assert planned(api, "ramped") == []
    other = operator.submit(path, **{**RAMP, "percentages": "50,100"}, do="save", previewed=previewed(preview))
    assert "Schedule these 2 steps" in text_of(other), "what was not seen is shown first"
    assert planned(api, "ramped") == []
    made = operator.submit(path, **RAMP, do="save", previewed=previewed(preview))
    assert made.status_code == 303, text_of(made)
    (schedule,) = planned(api, "ramped")
    assert [each["rollout_percentage"] for each in schedule["steps"]] == [1, 5, 25, 100]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"percentages": "5, 1"}, "a ramp rises"),
        ({"percentages": "many"}, "are no percentages"),
        ({"percentages": "0.001"}, "are no percentages"),
        ({"percentages": "200"}, "at most 100"),
        ({"every": "0"}, "a minute apart"),
        ({"every": "-1"}, "whole number"),
        ({"unit": "moons"}, "whole number"),
        ({"start": "tomorrow"}, "no date and time"),
        ({"start": "9998-12-31T00:00", "every": "99999"}, "after the year 9999"),
    ],
)
def test_what_is_no_ramp_comes_back_with_the_reason(
    operator: Person, api: httpx.Client, fields: dict[str, Any], says: str
) -> None:
    api.post(FLAGS, json={"name": "unramped"})
    refused = operator.submit("/ops/flags/unramped/schedules/ramp", **{**RAMP, **fields}, do="preview")
    assert refused.status_code in (409, 422)
    assert says in text_of(refused)
    assert html.escape({**RAMP, **fields}["percentages"]) in refused.text
    assert planned(api, "unramped") == []


@pytest.mark.parametrize("fields", [{}, {"on_at": "2099-01-01T00:00", "off_at": "2099-01-01T00:00"}, {"on_at": "x"}])
def test_what_are_no_dates_is_refused(operator: Person, api: httpx.Client, fields: dict[str, Any]) -> None:
    api.post(FLAGS, json={"name": "undated"})
    refused = operator.submit("/ops/flags/undated/schedules/dates", **fields)
    assert (refused.status_code in (409, 422), 'role="alert"' in refused.text) == (True, True)
    assert planned(api, "undated") == []


def test_a_kill_pauses_it_and_a_revived_flag_goes_on(operator: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "burnt", "enabled": True})
    page = "/ops/flags/burnt/schedules"
    operator.submit(f"{page}/dates", off_at="2099-01-01T00:00")
    number = planned(api, "burnt")[0]["id"]
    api.post(FLAGS, json={"name": "burnt", "kill_switch": True})
    assert "the flag was killed" in text_of(operator.get(page))
    assert "stands still: the flag was killed" in text_of(operator.get("/ops/flags/burnt"))
    refused = operator.submit(f"{page}/{number}", do="resume")
    assert (refused.status_code, "revive it" in text_of(refused)) == (409, True)
    api.post(FLAGS, json={"name": "burnt", "kill_switch": False})
    assert operator.submit(f"{page}/{number}", do="resume").status_code == 303
    assert operator.submit(f"{page}/{number}", do="pause").status_code == 303
    assert planned(api, "burnt")[0]["paused_because"] == "by hand"
    assert operator.submit(f"{page}/{number}", do="wait").status_code == 422
    gone = operator.submit(f"{page}/{number}", do="cancel")
    assert f"Schedule {number} is cancelled" in text_of(operator.get(gone.headers["location"]))
    assert planned(api, "burnt") == []


def test_a_schedule_is_changed_on_its_own_flags_page_alone(operator: Person, api: httpx.Client) -> None:
    for name in ("mine", "other"):
        api.post(FLAGS, json={"name": name})
    operator.submit("/ops/flags/mine/schedules/dates", on_at="2099-01-01T00:00")
    number = planned(api, "mine")[0]["id"]
    assert operator.submit(f"/ops/flags/other/schedules/{number}", do="cancel").status_code == 404
    assert len(planned(api, "mine")) == 1


def test_a_viewer_sees_what_is_planned_and_changes_nothing(operator: Person, viewer: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "watched"})
    operator.submit("/ops/flags/watched/schedules/dates", on_at="2099-01-01T00:00")
    page = viewer.get("/ops/flags/watched/schedules")
    assert "2099-01-01 00:00 UTC" in text_of(page)
    assert "<form" not in page.text.partition("<main")[2].partition("</main")[0]
    number = planned(api, "watched")[0]["id"]
    for path in ("dates", "ramp", str(number)):
        assert viewer.submit(f"/ops/flags/watched/schedules/{path}", do="cancel", **RAMP).status_code == 403
    assert operator.get("/ops/flags/never-was/schedules").status_code == 404
