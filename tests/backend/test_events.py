"""Events over HTTP: batches, repeats, pages, and everything a client may get wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

JSON = {"content-type": "application/json"}


def test_a_batch_is_recorded_and_read_back_newest_first(sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    now = datetime.now(UTC)
    answer = ada.record(
        {"type": "page viewed", "timestamp": (now - timedelta(minutes=1)).isoformat(), "properties": {"path": "/"}},
        {"type": "order.paid", "timestamp": now.isoformat(), "properties": {"items": [1, 2.5, None, "ä"]}},
    )
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "duplicates": 0})
    events = ada.client.get("/api/events").json()["events"]
    assert [event["type"] for event in events] == ["order.paid", "page viewed"]
    assert events[0]["properties"] == {"items": [1, 2.5, None, "ä"]}
    assert {event["session_id"] for event in events} == {ada.session_id}


def test_sending_a_batch_again_changes_nothing(sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    event = {"type": "visit", "id": str(uuid4()), "timestamp": datetime.now(UTC).isoformat()}
    assert ada.record(event, event).json() == {"accepted": 1, "duplicates": 1}
    assert ada.record(event, {"type": "visit"}).json() == {"accepted": 1, "duplicates": 1}
    assert len(ada.client.get("/api/events").json()["events"]) == 2


def test_two_people_may_use_the_same_event_id(sign_up: Callable[[], Any]) -> None:
    event = {"type": "visit", "id": str(uuid4()), "timestamp": datetime.now(UTC).isoformat()}
    assert [sign_up().record(event).json()["accepted"] for _ in range(2)] == [1, 1]


def test_pages_meet_each_event_once_even_at_one_instant(sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    moment = datetime.now(UTC).isoformat()
    ids = {str(uuid4()) for _ in range(25)}
    ada.record(*({"type": "visit", "id": one, "timestamp": moment} for one in ids))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 10} | ({"before": cursor} if cursor else {})
        page = ada.client.get("/api/events", params=query).json()
        seen += [event["id"] for event in page["events"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == 25
    assert set(seen) == ids


def test_a_full_batch_is_taken_and_a_larger_one_refused(sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    assert ada.record(*[{"type": "visit"}] * 500).json()["accepted"] == 500
    assert ada.record(*[{"type": "visit"}] * 501).status_code == 422
    assert ada.record().status_code == 422


@pytest.mark.parametrize(
    "event",
    [
        '{"type": ""}',
        '{"type": "a\\u0000b"}',
        '{"type": "\\ud800"}',
        '{"type": 7}',
        '{"type": "' + "x" * 101 + '"}',
        '{"type": "x", "properties": []}',
        '{"type": "x", "properties": {"a": "\\u0000"}}',
        '{"type": "x", "properties": {"\\u0000": 1}}',
        '{"type": "x", "properties": {"a": ["\\udcff"]}}',
        '{"type": "x", "properties": {"\\udcff": 1}}',
        '{"type": "x", "properties": {"a": NaN}}',
        '{"type": "x", "properties": {"a": 1e999}}',
        '{"type": "x", "properties": {"a": ' + "9" * 10_000 + "}}",
        '{"type": "x", "properties": {"a": "' + "x" * 9_000 + '"}}',
        '{"type": "x", "properties": ' + '{"a":' * 20 + "1" + "}" * 20 + "}",
        '{"type": "x", "properties": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}",
        '{"type": "x", "id": "no uuid", "timestamp": "2026-01-01T00:00:00Z"}',
        '{"type": "x", "id": "7f0c5c1e-32a4-4f57-a3a8-2f5a0c3b8f11"}',
        '{"type": "x", "timestamp": "2001-01-01T00:00:00Z"}',
        '{"type": "x", "timestamp": "2999-01-01T00:00:00Z"}',
        '{"type": "x", "timestamp": "0001-01-01T00:00:00+14:00"}',
        '{"type": "x", "timestamp": "9999-12-31T23:59:59-14:00"}',
        '{"type": "x", "timestamp": 99999999999999999999}',
        '{"type": "x", "timestamp": "2026-01-01T00:00:00"}',
        '{"type": "x", "user_id": "7f0c5c1e-32a4-4f57-a3a8-2f5a0c3b8f11"}',
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_of_its_batch_is_kept(
    sign_up: Callable[[], Any], event: str
) -> None:
    ada = sign_up()
    answer = ada.client.post("/api/events", content='{"events": [{"type": "good"}, ' + event + "]}", headers=JSON)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert ada.client.get("/api/events").json()["events"] == []


def test_odd_but_storable_properties_come_back_as_sent(sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    properties = {"": "", "\\u0000": "\\u0000", "emoji": "🧯", "big": 10**300, "deep": [[[[[[1]]]]]], "quote": "'\";--"}
    assert ada.record({"type": "x", "properties": properties}).status_code == 202
    assert ada.client.get("/api/events").json()["events"][0]["properties"] == properties


@pytest.mark.parametrize("form", ["known length", "chunked"])
def test_a_huge_body_is_refused(sign_up: Callable[[], Any], form: str) -> None:
    ada = sign_up()
    body = b" " * (2 * 1024 * 1024)
    content = body if form == "known length" else iter([body[:1000]] * 2000)
    assert ada.client.post("/api/events", content=content, headers=JSON).status_code == 413


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "before=x", "before=-1", "before=1", "limit=99999999999999999999",
     "before=99999999999999999-zzzzzzzz-0000-0000-0000-000000000000", "before=%00"],
)  # fmt: skip
def test_malformed_pages_are_refused(sign_up: Callable[[], Any], query: str) -> None:
    assert sign_up().client.get(f"/api/events?{query}").status_code == 422


def test_the_latest_possible_position_is_no_error(sign_up: Callable[[], Any]) -> None:
    edge = "99999999999999999-00000000-0000-0000-0000-000000000000"
    assert sign_up().client.get("/api/events", params={"before": edge}).json() == {"events": [], "next": None}


def test_the_runbooks_questions_are_answered_by_an_index(service_url: str) -> None:
    user = str(uuid4())
    questions = [
        f"select * from events where user_id = '{user}' order by timestamp desc limit 100",
        f"select * from sessions where user_id = '{user}' order by created_at desc",
    ]
    with psycopg.connect(service_url) as connection:
        # Empty tables are read and sorted fastest as they are: ask whether an index could do it.
        connection.execute("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off")
        for question in questions:
            plan = "\n".join(row[0] for row in connection.execute(f"explain {question}".encode()).fetchall())
            assert "Index" in plan
            assert "Sort  (" not in plan, plan


def test_anyone_without_a_token_is_refused(service: httpx.Client) -> None:
    body = json.dumps({"events": [{"type": "x"}]})
    assert service.post("/api/events", content=body, headers=JSON).status_code == 401
    assert service.get("/api/events").status_code == 401
