"""What one person did, from real tables of both databases: by HTTP and by command, audited, exported safely."""

from __future__ import annotations

import csv
import io
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.command_line import Typed, opsbook

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MAPPING = """
[[table]]
kind = "orders"
table = "shop.orders"
user = "buyer"
time = "placed"
key = "no"
title = ["no"]
details = ["total"]

[[table]]
kind = "gone"
table = "shop.gone"

[[table]]
kind = "odd"
table = "shop.orders"
"""
HOSTILE = "\x1b[31m=HYPERLINK(\u202e)<script>"


@pytest.fixture(scope="module")
def person(service_url: str, ops_url: str) -> str:
    """Somebody with a trail in every place, a minute apart; the id."""
    person = str(uuid.uuid4())
    with psycopg.connect(service_url, autocommit=True) as service:
        service.execute("insert into auth.users (id, email) values (%s, %s)", (person, f"{person}@example.org"))
        service.execute(
            "insert into sessions (user_id, created_at, user_agent) values (%s, %s, 'curl/8')", (person, NOW)
        )
        service.execute(
            "insert into events (user_id, timestamp, type, properties) values (%s, %s, 'purchase', %s)",
            (person, NOW + MINUTE, Jsonb({"amount": 3})),
        )
    with psycopg.connect(ops_url, autocommit=True) as ops:
        ops.execute(
            "insert into error_events (event_id, group_id, project_id, occurred_at, level, platform, environment,"
            " user_id, message, payload, payload_bytes)"
            " values (%s, 0, 1, %s, 'error', 'python', 'test', %s, %s, '', 0)",
            (uuid.uuid4(), NOW + 2 * MINUTE, person, HOSTILE),
        )
        ops.execute(
            "insert into log_lines (writer, number, logged_at, level, logger, message, user_id, request_id)"
            " values (999, 1, %s, 'info', 'shop', 'paid', %s, 'request-1')",
            (NOW + 3 * MINUTE, person),
        )
        ops.execute("select audit('user.erase', 'user', %s, null, null)", (person,))
    return person


@pytest.fixture(scope="module")
def trail(person: str) -> str:
    return f"/api/admin/users/{person}/timeline"


def test_it_is_one_order_of_all_there_is(api: httpx.Client, trail: str) -> None:
    found = api.get(trail, params={"until": "2026-03-02T00:00:00Z"}).json()
    assert [entry["kind"] for entry in found["entries"]] == ["logs", "errors", "events", "sessions"]
    assert found["missing"] == {}
    assert found["entries"][0]["path"] == "/ops/logs?request=request-1"
    assert found["entries"][2]["details"]["properties"] == {"amount": 3}
    assert any("only counted" in note for note in found["notes"])


def test_page_by_page_it_is_the_same(api: httpx.Client, trail: str) -> None:
    kinds, before = [], None
    while True:
        asked = {"until": "2026-03-02T00:00:00Z", "limit": 1} | ({"before": before} if before else {})
        page = api.get(trail, params=asked).json()
        kinds += [entry["kind"] for entry in page["entries"]]
        before = page["older"]
        if before is None:
            break
    assert kinds == ["logs", "errors", "events", "sessions"]


def test_looking_is_recorded_before_anything_is_shown(api: httpx.Client, trail: str, person: str) -> None:
    newest = api.get(trail, params={"kind": ["audit", "events"]}).json()["entries"][0]
    assert newest["title"] == "user.read by ADMIN_TOKEN"
    recorded = api.get("/api/admin/audit", params={"target_kind": "user", "target": person}).json()[0]
    assert (recorded["action"], recorded["after"]) == ("user.read", {"kinds": ["audit", "events"]})


def test_a_flag_that_made_a_difference_is_in_it_and_others_are_not(
    api: httpx.Client, trail: str, database: psycopg.Connection
) -> None:
    before = datetime.now(UTC) - MINUTE
    database.execute("insert into feature_flags (name, enabled) values ('for-all', true), ('for-none', false)")
    database.execute("update feature_flags set description = 'words' where name = 'for-all'")
    database.execute("update feature_flags set kill_switch = true where name = 'for-all'")
    database.execute("update feature_flags set rollout_percentage = 50 where name = 'for-none'")
    asked = {"kind": "flags", "since": before.isoformat()}
    titles = [entry["title"] for entry in api.get(trail, params=asked).json()["entries"]]
    assert titles == ["for-all went from on to off", "for-all went from off to on"]


def test_only_operators_look(api: httpx.Client, server: str, trail: str) -> None:
    for role, scopes, status in (
        ("viewer", ["*"], 403),
        ("operator", ["flags:*"], 403),
        ("operator", ["users:read"], 200),
    ):
        token = api.post("/api/admin/tokens", json={"name": "looks", "role": role, "scopes": scopes}).json()["token"]
        assert httpx.get(server + trail, headers={"Authorization": f"Bearer {token}"}).status_code == status


@pytest.mark.parametrize(
    "asked",
    ["kind=letters", "before=x", "before=2026-01-01T00:00:00%2B00:00~flags~newest", "since=yesterday", "limit=0"],
)
def test_what_makes_no_sense_is_refused(api: httpx.Client, trail: str, asked: str) -> None:
    assert api.get(f"{trail}?{asked}").status_code == 422


def test_an_id_that_is_no_uuid_finds_nothing_where_ids_are(api: httpx.Client) -> None:
    asked = {"kind": ["events", "sessions", "errors", "logs", "audit"]}
    found = api.get("/api/admin/users/' or true --/timeline", params=asked).json()
    assert [entry["kind"] for entry in found["entries"]] == ["audit"], "that somebody looked"
    assert found["missing"] == {}


def test_as_csv_no_cell_is_a_formula(api: httpx.Client, trail: str, person: str) -> None:
    answer = api.get(f"{trail}/export", params={"until": "2026-03-02T00:00:00Z"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["kind"] for row in rows] == ["logs", "errors", "events", "sessions"]
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())
    assert json.loads(rows[2]["details"])["properties"] == {"amount": 3}
    recorded = api.get("/api/admin/audit", params={"target_kind": "user", "target": person}).json()[0]
    assert (recorded["action"], recorded["after"]["format"]) == ("user.export", "csv")


def test_as_lines_each_is_an_entry(api: httpx.Client, trail: str) -> None:
    answer = api.get(f"{trail}/export", params={"format": "jsonl", "kind": "events"})
    assert [json.loads(line)["title"] for line in answer.text.splitlines()] == ["purchase"]


def test_the_command_shows_it_and_does_nothing_to_the_terminal(typed_user: TypedUser, person: str) -> None:
    shown = typed_user(person, "--until", "2026-03-02T00:00:00Z")
    assert shown.code == 0
    assert "purchase" in shown.out
    assert not {"\x1b", "\u202e"}.intersection(shown.out)
    machine = typed_user(person, "--kind", "errors", "--json").json
    assert [entry["title"] for entry in machine["entries"]] == [HOSTILE]
    assert typed_user(person, "--kind", "sessions", "--csv").out.splitlines()[1].split(",")[1] == "sessions"
    assert typed_user(person, "--kind", "letters").code == 2


def test_tables_of_other_names_are_found_by_a_mapping(
    typed_user: TypedUser, person: str, service_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(service_url, autocommit=True) as service:
        service.execute(
            "create schema shop; create table shop.orders (no int, buyer text, placed timestamp, total int)"
        )
        service.execute(
            "insert into shop.orders values (7, %s, '2026-03-01 12:05', 3), (8, 'other', now(), 4)", (person,)
        )
    mapping = tmp_path / "users.toml"
    mapping.write_text(MAPPING)
    found = typed_user(person, "--json", OPSBOOK_USER_TABLES=str(mapping)).json
    [order] = [entry for entry in found["entries"] if entry["kind"] == "orders"]
    assert (order["at"], order["title"], order["details"]) == ("2026-03-01T12:05:00+00:00", "7", {"total": 3})
    assert found["missing"]["gone"] == "the service database has no table shop.gone"
    assert "does not exist" in found["missing"]["odd"]


@pytest.mark.parametrize(
    "text", ["", "table = 1", "[[table]]\nkind = 'errors'\ntable = 'x'", "[[table]]\nkind='a'", "\xff["]
)
def test_a_mapping_that_cannot_be_used_says_so(typed_user: TypedUser, tmp_path: Path, text: str) -> None:
    mapping = tmp_path / "users.toml"
    mapping.write_text(text, encoding="latin-1")
    refused = typed_user("anybody", OPSBOOK_USER_TABLES=str(mapping))
    assert (refused.code, "OPSBOOK_USER_TABLES" in refused.err) == (3, True)


def test_without_a_service_database_the_rest_is_shown(ops_url: str, person: str) -> None:
    shown = opsbook("user", person, "--json", OPSBOOK_DATABASE_URL=ops_url).json
    assert {"errors", "logs"} <= {entry["kind"] for entry in shown["entries"]}
    assert shown["missing"] == dict.fromkeys(["events", "sessions"], "no service database is known")


class TypedUser:
    """Types `opsbook user` on both databases."""

    def __init__(self, ops_url: str, service_url: str) -> None:
        self._environment = {"OPSBOOK_DATABASE_URL": ops_url, "DATABASE_URL": service_url}

    def __call__(self, *arguments: str, **environment: str) -> Typed:
        return opsbook("user", *arguments, **self._environment, **environment)


@pytest.fixture
def typed_user(ops_url: str, service_url: str) -> TypedUser:
    return TypedUser(ops_url, service_url)
