"""The runbook's feature flag endpoint."""

from __future__ import annotations

import httpx
import psycopg
import pytest

FLAGS = "/api/admin/feature-flags"


def test_the_runbooks_curl_creates_a_flag(api: httpx.Client) -> None:
    answer = api.post(
        FLAGS,
        content='{"name": "feature_name", "enabled": true}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},  # what `curl -d` says
    )
    assert answer.status_code == 201
    assert answer.json()["enabled"] is True
    assert api.get(f"{FLAGS}/feature_name").json()["state"] == "on"


def test_only_the_given_fields_change(api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "partial", "enabled": True, "owner": "payments", "tags": ["a", "b"]})
    changed = api.post(FLAGS, json={"name": "partial", "rollout_percentage": 12.5})
    assert changed.status_code == 200
    flag = changed.json()
    assert (flag["enabled"], flag["owner"], flag["tags"], flag["rollout_percentage"]) == (
        True,
        "payments",
        ["a", "b"],
        12.5,
    )
    cleared = api.patch(f"{FLAGS}/partial", json={"owner": None}).json()
    assert cleared["owner"] is None
    assert cleared["tags"] == ["a", "b"]


def test_a_lost_update_is_refused_where_a_revision_is_given(api: httpx.Client) -> None:
    seen = api.post(FLAGS, json={"name": "contested", "enabled": True}).json()["revision"]
    first = api.patch(f"{FLAGS}/contested", json={"rollout_percentage": 10, "revision": seen})
    second = api.patch(f"{FLAGS}/contested", json={"rollout_percentage": 90}, headers={"If-Match": f'"{seen}"'})
    assert first.status_code == 200
    assert second.status_code == 409
    assert "somebody changed it" in second.json()["detail"]
    assert api.get(f"{FLAGS}/contested").json()["rollout_percentage"] == 10


def test_undo_goes_back_one_change_or_to_any_revision_and_brings_the_deleted_back(api: httpx.Client) -> None:
    first = api.post(FLAGS, json={"name": "undone", "enabled": True, "rollout_percentage": 5}).json()["revision"]
    api.patch(f"{FLAGS}/undone", json={"rollout_percentage": 50})
    api.patch(f"{FLAGS}/undone", json={"kill_switch": True, "reason": "alarm"})
    assert api.post(f"{FLAGS}/undone/undo").json()["kill_switch"] is False
    assert api.post(f"{FLAGS}/undone/undo", json={"revision": first}).json()["rollout_percentage"] == 5
    assert api.delete(f"{FLAGS}/undone").status_code == 204
    assert api.get(f"{FLAGS}/undone").status_code == 404
    assert api.post(f"{FLAGS}/undone/undo").json()["rollout_percentage"] == 5
    actions = [entry["action"] for entry in api.get(f"{FLAGS}/undone/history").json()]
    assert actions == ["create", "delete", "change", "change", "change", "change", "create"]


def test_history_says_who_why_and_what(api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "told", "enabled": False})
    api.patch(f"{FLAGS}/told", json={"enabled": True, "reason": "launch"})
    newest = api.get(f"{FLAGS}/told/history").json()[0]
    assert (newest["actor"], newest["actor_kind"], newest["reason"]) == ("ADMIN_TOKEN", "admin_token", "launch")
    assert (newest["before"]["enabled"], newest["after"]["enabled"]) == (False, True)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a/b"},
        {"name": "a b"},
        {"name": ".."},
        {"name": "a?b"},
        {"name": ""},
        {"name": "x" * 10_000},
        {"name": "ok", "rollout_percentage": -1},
        {"name": "ok", "rollout_percentage": 100.01},
        {"name": "ok", "rollout_percentage": 33.333},
        {"name": "ok", "rollout_percentage": "25"},
        {"name": "ok", "rollout_percentage": None},
        {"name": "ok", "enabled": "yes"},
        {"name": "ok", "enabled": None},
        {"name": "ok", "description": "nul \0"},
        {"name": "ok", "unknown": 1},
        {"name": "ok", "tags": ["x"] * 21},
        {"name": "ok", "expires_at": 5},
        {"name": "ok", "expires_at": "5"},
        {"name": "ok", "expires_at": "2031-01-31T14:05:00"},
        [],
        "text",
    ],
)
def test_what_makes_no_sense_is_refused(api: httpx.Client, body: object) -> None:
    answer = api.post(FLAGS, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.get(f"{FLAGS}/ok").status_code == 404


@pytest.mark.parametrize("content", ['{"name": "ok", "rollout_percentage": NaN}', "{", "", "\x00", '{"name": "ok"} x'])
def test_what_is_no_json_is_refused(api: httpx.Client, content: str) -> None:
    assert api.post(FLAGS, content=content, headers={"Content-Type": "application/json"}).status_code == 422


def test_a_body_of_fifty_megabytes_is_refused(api: httpx.Client) -> None:
    answer = api.post(FLAGS, content=b"x" * 50_000_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413

    def endless() -> object:
        for _ in range(50):
            yield b"x" * 1_000_000

    assert api.post(FLAGS, content=endless()).status_code == 413  # pyright: ignore[reportArgumentType]


def test_names_with_dots_and_dashes_are_fine_and_unknown_ones_are_not_found(api: httpx.Client) -> None:
    assert api.post(FLAGS, json={"name": "checkout.v2_new-flow~1:beta"}).status_code == 201
    assert api.get(f"{FLAGS}/checkout.v2_new-flow~1:beta").status_code == 200
    assert api.get(f"{FLAGS}/never-made").status_code == 404
    assert api.get(f"{FLAGS}/never-made/history").status_code == 404
    assert api.post(f"{FLAGS}/never-made/undo").status_code == 404


def test_a_flag_held_by_an_open_transaction_is_a_conflict_not_a_hang(api: httpx.Client, ops_url: str) -> None:
    api.post(FLAGS, json={"name": "held", "enabled": True})
    with psycopg.connect(ops_url, application_name="forgotten psql") as other:
        other.execute("update feature_flags set rollout_percentage = 1 where name = 'held'")
        holder = other.info.backend_pid
        answer = api.patch(f"{FLAGS}/held", json={"enabled": False})
        other.rollback()
    assert answer.status_code == 409
    assert f"process {holder}, user opsbook, application 'forgotten psql'" in answer.json()["detail"]
