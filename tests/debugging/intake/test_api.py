"""What SDKs send, over HTTP: who may, what is kept before it is acknowledged, how refusals read."""

from __future__ import annotations

import gzip
import json
import random
import select
import socket
import string
from contextlib import suppress
from dataclasses import asdict
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from opsbook.debugging.errors.attachments import MOST_FILES
from opsbook.debugging.errors.compression import read_payload
from opsbook.debugging.errors.projects import USUAL_QUOTAS
from opsbook.debugging.intake.body import MOST_BODY_BYTES
from tests.debugging.sending import Sender, envelope, key_of, new_event
from tests.flags.helpers import until

Database = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def sender(anonymous: httpx.Client, database: Database) -> Sender:
    return Sender(anonymous, key_of(database))


def events(database: Database, event_id: str) -> int:
    row = database.execute("select count(*) from error_events where event_id = %s", [event_id]).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("path", ["envelope/", "envelope"])
def test_an_acknowledged_event_is_readable_at_once(sender: Sender, database: Database, path: str) -> None:
    event = new_event()
    answer = sender.post(envelope(("event", event)), path)
    assert (answer.status_code, answer.json()) == (200, {"id": event["event_id"]})
    assert events(database, event["event_id"]) == 1


@pytest.mark.parametrize("path", ["store/", "store"])
def test_an_event_may_come_without_envelope(sender: Sender, database: Database, path: str) -> None:
    event = new_event()
    answer = sender.post(json.dumps(event).encode(), path)
    assert answer.json() == {"id": event["event_id"]}
    assert events(database, event["event_id"]) == 1


def test_a_compressed_body_is_unpacked(sender: Sender, database: Database) -> None:
    event = new_event()
    answer = sender.post(gzip.compress(envelope(("event", event))), **{"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert events(database, event["event_id"]) == 1


def test_an_event_sent_twice_is_kept_and_counted_once(sender: Sender, database: Database) -> None:
    event = new_event("SentTwice")
    assert [sender.send(("event", event)).status_code for _ in range(2)] == [200, 200]
    assert events(database, event["event_id"]) == 1
    assert database.execute("select events from error_issues where title like 'SentTwice%%'").fetchone() == (1,)


@pytest.mark.parametrize(("project", "key", "status"), [(1, "0" * 32, 403), (99, None, 403), (1, "no-key", 400)])
def test_strangers_are_refused(
    anonymous: httpx.Client, database: Database, project: int, key: str | None, status: int
) -> None:
    answer = Sender(anonymous, key or key_of(database), project).send(("event", new_event()))
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_without_a_key_nothing_is_taken(anonymous: httpx.Client) -> None:
    assert anonymous.post("/api/1/envelope/", content=envelope(("event", new_event()))).status_code == 401


def test_the_envelopes_dsn_is_a_key_and_must_not_contradict_another(
    anonymous: httpx.Client, sender: Sender, database: Database
) -> None:
    event, key = new_event(), key_of(database)
    body = envelope(("event", event), dsn=f"http://{key}@localhost/1")
    assert anonymous.post("/api/1/envelope/", content=body).json() == {"id": event["event_id"]}
    contradicting = envelope(("event", new_event()), dsn=f"http://{'f' * 32}@localhost/1")
    assert sender.post(contradicting).status_code == 403


def test_browsers_of_any_origin_may_send(anonymous: httpx.Client) -> None:
    answer = anonymous.options("/api/1/envelope/", headers={"Origin": "https://shop.example"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "x-sentry-auth" in answer.headers["Access-Control-Allow-Headers"]


def test_what_is_not_stored_is_counted(sender: Sender, database: Database) -> None:
    discarded = {"discarded_events": [{"category": "error", "reason": "queue_overflow", "quantity": 7}]}
    answer = sender.send(("session", {}), ("client_report", discarded), ("from_the_future", {}), ("event", new_event()))
    assert answer.status_code == 200
    rows = database.execute("select category, outcome, reason, items::int from error_item_counts").fetchall()
    assert {
        ("session", "counted", "session", 1),
        ("error", "client_discard", "queue_overflow", 7),
        ("default", "counted", "unknown", 1),
    } <= set(rows)


def test_a_bad_item_does_not_take_a_good_one_with_it(sender: Sender, database: Database) -> None:
    event = new_event()
    assert sender.send(("event", b"[]"), ("event", event)).status_code == 200
    assert events(database, event["event_id"]) == 1
    assert sender.send(("event", b"[]")).status_code == 400


def test_an_attachment_and_a_report_stay_with_their_event(sender: Sender, database: Database) -> None:
    event = new_event()
    report = {"event_id": event["event_id"], "name": "Ada", "email": "ada@example.com", "comments": "It broke."}
    items = [("event", event), ("attachment", b"\0\1\2"), ("user_report", report)]
    assert sender.send(*items, event_id=event["event_id"]).status_code == 200
    of = [event["event_id"]]
    assert database.execute("select content from error_attachments where event_id = %s", of).fetchone() == (b"\0\1\2",)
    assert database.execute("select name, message from error_feedback where event_id = %s", of).fetchone() == (
        "Ada",
        "It broke.",
    )


def test_secrets_are_taken_out_before_anything_is_kept(sender: Sender, database: Database) -> None:
    event_id = sender.event("Leak", extra={"password": "hunter2hunter2"}, message="token=abcdefghijklmnop")
    row = database.execute("select * from error_events where event_id = %s", [event_id]).fetchone()
    assert row is not None
    kept = str(row) + str(read_payload(row[-2]))
    assert "[Filtered]" in kept
    assert "hunter2" not in kept


def test_bodies_that_never_end_keep_nobody_else_out(sender: Sender, server: str) -> None:
    head = (
        f"POST /api/1/envelope/?sentry_key={sender.key} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Length: {MOST_BODY_BYTES}\r\n\r\n"
    ).encode()
    to = (httpx.URL(server).host, httpx.URL(server).port or 0)
    with socket.create_connection(to) as first, socket.create_connection(to) as second:
        for trickling in (first, second):
            trickling.settimeout(30)
            with suppress(ConnectionError):  # it may be refused before it has sent all
                trickling.sendall(head + bytes(MOST_BODY_BYTES - 1))
        refused, _, _ = select.select([first, second], [], [], 30)
        assert [each.recv(12) for each in refused] == [b"HTTP/1.1 429"], "one address has no room for two as large"
        sender.event()


def test_a_decompression_bomb_is_refused(sender: Sender) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert sender.post(bomb, **{"Content-Encoding": "gzip"}).status_code == 413


def test_a_disabled_key_is_refused_at_once(anonymous: httpx.Client, database: Database) -> None:
    row = database.execute("insert into error_project_keys (project_id) values (1) returning public_key").fetchone()
    assert row is not None
    sender = Sender(anonymous, row[0])
    until(lambda: sender.send(("event", new_event())).status_code == 200, within=5)
    database.execute("update error_project_keys set disabled_at = now() where public_key = %s", [row[0]])
    until(lambda: sender.send(("event", new_event())).status_code == 403, within=5)


def test_a_used_up_quota_tells_senders_to_hold_back(anonymous: httpx.Client, database: Database) -> None:
    database.execute("insert into error_projects (id, name, events_per_hour) values (50, 'small', 3)")
    row = database.execute("insert into error_project_keys (project_id) values (50) returning public_key").fetchone()
    assert row is not None
    sender = Sender(anonymous, row[0], 50)
    until(lambda: sender.send(("event", new_event())).status_code == 429, within=5)
    answer = sender.send(("event", new_event()))
    assert answer.headers["X-Sentry-Rate-Limits"].endswith(":error:project:quota")
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert database.execute("select count(*) from error_events where project_id = 50").fetchone() == (3,)
    mixed = sender.send(("event", new_event()), ("session", {}))
    assert mixed.status_code == 200
    assert "X-Sentry-Rate-Limits" in mixed.headers


def test_who_knows_a_key_cannot_fill_the_disk(
    anonymous: httpx.Client, api: httpx.Client, sender: Sender, database: Database
) -> None:
    made = api.post("/api/admin/error-projects", json={"name": "filled", "megabytes_per_day": 1}).json()
    filling = Sender(anonymous, made["public_key"], made["project_id"])
    file = ("attachment", random.randbytes(600_000))
    until(lambda: filling.send(("session", {})).status_code == 200, within=5)
    for _ in range(2):
        event = new_event("Filled")
        assert filling.send(("event", event), file, event_id=event["event_id"]).status_code == 200
    refused = filling.send(("feedback", {}))
    assert refused.status_code == 429
    assert "1 MB for this day" in refused.json()["detail"]
    assert refused.headers["X-Sentry-Rate-Limits"].endswith("::project:quota"), "a limit for everything"
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    sender.event()

    def warned() -> bool:
        checks = api.get("/api/monitoring/health").json()["checks"]
        found = next(check for check in checks if check["name"] == "error_quotas")
        return found["status"] == "warn" and "filled (" in found["detail"]

    until(warned, within=20)


def test_a_project_has_quotas_unless_it_is_told_otherwise(api: httpx.Client, database: Database) -> None:
    api.post("/api/admin/error-projects", json={"name": "unasked"}).raise_for_status()
    api.post("/api/admin/error-projects", json={"name": "free", **dict.fromkeys(asdict(USUAL_QUOTAS))})
    database.execute("insert into error_projects (name) values ('typed')")
    projects = {each["name"]: each for each in api.get("/api/admin/error-projects").json()}
    quotas = {name: {key: projects[name][key] for key in asdict(USUAL_QUOTAS)} for name in projects}
    assert quotas["default"] == quotas["unasked"] == quotas["typed"] == asdict(USUAL_QUOTAS)
    assert set(quotas["free"].values()) == {None}


def test_what_a_report_makes_up_stops_nobody_else(sender: Sender, database: Database) -> None:
    report = {"discarded_events": [{"category": "er\0ror", "reason": "\0", "quantity": 3}]}
    assert sender.send(("client_report", report)).status_code == 200
    sender.event()
    reports = "select items::int from error_item_counts where (category, reason) = ('default', 'other')"
    assert database.execute(reports).fetchall() == [(3,)]


def test_feedback_of_any_text_is_kept(sender: Sender, database: Database) -> None:
    """More than an index holds of one row."""
    report = {"event_id": uuid4().hex, "comments": "".join(random.choices(string.ascii_letters, k=4_000))}
    for _ in range(2):
        assert sender.send(("user_report", report)).status_code == 200
    kept = database.execute("select message from error_feedback where event_id = %s", [report["event_id"]])
    assert kept.fetchall() == [(report["comments"],)]


def test_files_stay_only_with_an_event_that_does(sender: Sender, database: Database) -> None:
    kept, unknown = sender.event(), uuid4().hex
    for of in (kept, unknown):
        for _ in range(2):
            files = [("attachment", b"file")] * (MOST_FILES - 1)
            assert sender.send(*files, event_id=of).status_code == 200
    found = "select event_id, count(*)::int from error_attachments where event_id = any (%s::uuid[]) group by event_id"
    assert database.execute(found, [[kept, unknown]]).fetchall() == [(UUID(kept), MOST_FILES)]


def test_one_event_may_be_sent_to_several_projects(anonymous: httpx.Client, sender: Sender, database: Database) -> None:
    database.execute("insert into error_projects (id, name) values (51, 'other')")
    row = database.execute("insert into error_project_keys (project_id) values (51) returning public_key").fetchone()
    assert row is not None
    other, event = Sender(anonymous, row[0], 51), new_event()
    assert sender.send(("event", event)).status_code == 200
    until(lambda: other.send(("event", event)).status_code == 200, within=5)
    assert events(database, event["event_id"]) == 2
