"""Sentry's own Python SDK, unchanged, with a DSN of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import psycopg
import pytest

from tests.debugging.sending import key_of

PROGRAM = """
import json, sys
import sentry_sdk

sentry_sdk.init(sys.argv[1], release="shop@1.4", environment="staging", send_default_pii=True)
sentry_sdk.set_user({"id": 4711, "email": "ada@example.com"})
sentry_sdk.set_tag("plan", "pro")


def rate(currency, password="hunter2hunter2"):
    return {"USD": 1.0}[currency]


ids = []
for currency in ("EUR", "GBP"):
    try:
        rate(currency)
    except KeyError:
        ids.append(sentry_sdk.capture_exception())
ids.append(sentry_sdk.capture_message("paid 17 orders", level="warning"))
scope = sentry_sdk.get_current_scope()
scope.add_attachment(bytes=b"order 17", filename="order.txt")
ids.append(sentry_sdk.capture_message("with a file"))
sentry_sdk.flush(10)
print(json.dumps(ids))
"""


@pytest.fixture(scope="module")
def sent(server: str, database: psycopg.Connection[Any]) -> list[str]:
    """The ids of the events that the program sent."""
    dsn = f"{server.replace('://', f'://{key_of(database)}@')}/1"
    done = subprocess.run([sys.executable, "-c", PROGRAM, dsn], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_its_events_are_there_with_stack_user_and_tags(api: httpx.Client, sent: list[str]) -> None:
    event = api.get(f"/api/admin/errors/events/{sent[0]}").raise_for_status().json()
    assert (event["user_id"], event["release"], event["environment"]) == ("4711", "shop@1.4", "staging")
    assert event["tags"]["plan"] == "pro"
    assert event["message"] == "KeyError: 'EUR'"
    frame = event["document"]["exception"]["values"][0]["stacktrace"]["frames"][-1]
    assert frame["function"] == "rate"
    assert "hunter2" not in json.dumps(event)


def test_the_same_error_with_another_value_is_the_same_issue(api: httpx.Client, sent: list[str]) -> None:
    first, second = (api.get(f"/api/admin/errors/events/{sent[n]}").json() for n in (0, 1))
    assert first["issue_id"] == second["issue_id"]
    assert (first["newer"] or "").replace("-", "") == sent[1]
    assert (second["older"] or "").replace("-", "") == sent[0]


def test_its_messages_and_files_arrive(api: httpx.Client, sent: list[str]) -> None:
    assert api.get(f"/api/admin/errors/events/{sent[2]}").json()["level"] == "warning"
    event = api.get(f"/api/admin/errors/events/{sent[3]}").json()
    (file,) = event["attachments"]
    answer = api.get(f"/api/admin/errors/events/{sent[3]}/attachments/{file['id']}")
    assert answer.content == b"order 17"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
