"""Rules, segments, variants and prerequisites: written by the API, refused by the database, obeyed by the kit."""

from __future__ import annotations

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

FLAGS = "/api/admin/feature-flags"
SEGMENTS = "/api/admin/flag-segments"
PRO = {"field": "plan", "operator": "in", "values": ["pro"]}


def test_a_rule_admits_whom_the_rollout_leaves_out(api: httpx.Client, database: psycopg.Connection) -> None:
    body = {"name": "ruled", "enabled": True, "rollout_percentage": 0, "rules": [{"constraints": [PRO]}]}
    assert api.post(FLAGS, json=body).status_code == 201
    assert _on(database, "ruled", targetingKey="u1", plan="pro")
    assert not _on(database, "ruled", targetingKey="u1", plan="free")


def test_a_segment_is_shared_and_cannot_go_while_it_is_needed(api: httpx.Client, database: psycopg.Connection) -> None:
    assert api.put(f"{SEGMENTS}/paying", json={"constraints": [PRO]}).status_code == 200
    rules = [{"segments": ["paying"]}]
    api.post(FLAGS, json={"name": "segmented", "enabled": True, "rollout_percentage": 0, "rules": rules})
    assert _on(database, "segmented", plan="pro")
    wider = {**PRO, "values": ["pro", "team"]}
    assert api.put(f"{SEGMENTS}/paying", json={"constraints": [wider], "reason": "teams pay too"}).status_code == 200
    assert _on(database, "segmented", plan="team")
    assert api.get(SEGMENTS).json()[0]["used_by"] == ["segmented"]
    refused = api.delete(f"{SEGMENTS}/paying")
    assert refused.status_code == 422
    assert "needed by segmented" in refused.json()["detail"]
    api.delete(f"{FLAGS}/segmented")
    assert api.delete(f"{SEGMENTS}/paying").status_code == 204
    assert api.delete(f"{SEGMENTS}/paying").status_code == 404


def test_a_cycle_of_prerequisites_is_refused_when_written(api: httpx.Client) -> None:
    for name, needs in (("one", []), ("two", ["one"]), ("three", ["two"])):
        body = {"name": name, "enabled": True, "prerequisites": [{"flag": each} for each in needs]}
        assert api.post(FLAGS, json=body).status_code == 201
    refused = api.patch(f"{FLAGS}/one", json={"prerequisites": [{"flag": "three"}]})
    assert refused.status_code == 422
    assert "lead back" in refused.json()["detail"]
    assert api.delete(f"{FLAGS}/one").status_code == 422


def test_fifty_prerequisites_in_a_row_hold(api: httpx.Client, database: psycopg.Connection) -> None:
    for depth in range(50):
        needs = [{"flag": f"deep-{depth - 1}"}] if depth else []
        made = api.post(FLAGS, json={"name": f"deep-{depth}", "enabled": True, "prerequisites": needs})
        assert made.status_code == 201
    assert _on(database, "deep-49")
    api.patch(f"{FLAGS}/deep-0", json={"kill_switch": True})
    assert not _on(database, "deep-49")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rules": [{"nonsense": 1}]}, "not a rule"),
        ({"rules": [{"percentage": 100.5}]}, "percentage"),
        ({"rules": [{"segments": ["nowhere"]}]}, "no segment"),
        ({"rules": [{"constraints": [{"field": "a", "operator": "like", "values": ["x"]}]}]}, "no operator"),
        ({"rules": [{"constraints": [{"field": "a", "operator": "matches", "values": ["(a"]}]}]}, "RE2"),
        ({"rules": [{"constraints": [{"field": "a", "operator": "version_above", "values": ["1.x"]}]}]}, "compare"),
        ({"rules": [{"constraints": [{"field": "a", "operator": "date_after", "values": ["2026-01-01"]}]}]}, "compare"),
        ({"rules": [{"constraints": [{"field": "a", "operator": "in", "values": [{"a": 1}]}]}]}, "values"),
        ({"rules": [{}] * 1001}, "1000"),
        ({"variants": [{"name": "a", "weight": 0}]}, "sum to 0"),
        ({"variants": [{"name": "a"}, {"name": "a"}]}, "one name"),
        ({"variants": [{"name": "a", "weight": -1}]}, "weight"),
        ({"value_type": "number", "variants": [{"name": "a", "value": "one"}]}, "no number"),
        ({"variants": [{"name": "a", "overrides": None}]}, "overrides"),
        ({"rules": [{"segments": [1]}]}, "array of names"),
        ({"rules": [{"name": None}]}, "not a rule"),
        ({"rules": [{"constraints": [{"field": "a", "operator": "in", "values": [10**400]}]}]}, "values"),
        ({"prerequisites": [{"flag": "nowhere", "variants": [1, {}]}]}, "a prerequisite has"),
        ({"prerequisites": [{"flag": "nowhere"}]}, "does not exist"),
        ({"prerequisites": [{"flag": "refused"}]}, "refused"),
    ],
)
def test_targeting_that_makes_no_sense_is_refused(api: httpx.Client, fields: dict[str, object], told: str) -> None:
    answer = api.post(FLAGS, json={"name": "refused", **fields})
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["detail"]
    assert api.get(f"{FLAGS}/refused").status_code == 404


def test_sql_is_refused_the_same(api: httpx.Client, database: psycopg.Connection) -> None:
    api.post(FLAGS, json={"name": "by-sql"})
    with pytest.raises(psycopg.errors.CheckViolation, match="not a rule"):
        database.execute("update feature_flags set rules = '[{\"x\": 1}]' where name = 'by-sql'")


def _on(database: psycopg.Connection, name: str, **context: object) -> bool:
    row = database.execute("select flag_enabled(%s, %s)", (name, Jsonb(context))).fetchone()
    assert row is not None
    return bool(row[0])
