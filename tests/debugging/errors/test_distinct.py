"""Thousands of errors that have nothing in common; `make soak` sends a million."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import psycopg

from tests.debugging.sending import Sender, key_of

MESSAGES = 2_000
AT_ONCE = 200
"""Events in one envelope."""


def distinct(number: int) -> str:
    """A message like no other, without a digit that would be taken for a variable part."""
    return f"could not {str(number).translate(str.maketrans('0123456789', 'abcdefghij'))} the order"


def test_each_message_is_an_issue_unless_only_its_variable_parts_are_new(
    anonymous: httpx.Client, api: httpx.Client, database: psycopg.Connection[Any]
) -> None:
    sender = Sender(anonymous, key_of(database))
    alike = [f"payment {number} of {uuid4()} failed after {number / 7:.2f} ms" for number in range(AT_ONCE)]
    messages = [distinct(number) for number in range(MESSAGES)] + alike
    for first in range(0, len(messages), AT_ONCE):
        part = messages[first : first + AT_ONCE]
        events = (("event", {"event_id": uuid4().hex, "message": message}) for message in part)
        assert sender.send(*events).status_code == 200
    counted = database.execute("select count(*)::int, sum(events)::int from error_issues").fetchone()
    assert counted == (MESSAGES + 1, MESSAGES + AT_ONCE)
    listed = api.get("/api/admin/errors", params={"text": "payment"}).json()["issues"]
    assert [issue["events"] for issue in listed] == [AT_ONCE]
