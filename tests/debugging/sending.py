"""A sender of envelopes for the tests of the intake."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from tests.debugging.events import frame, raised


def key_of(database: psycopg.Connection[Any], project: int = 1) -> str:
    """A key of a project."""
    row = database.execute(
        "select public_key from error_project_keys where project_id = %s and disabled_at is null order by created_at",
        [project],
    ).fetchone()
    assert row is not None
    return row[0]


def new_event(kind: str = "KeyError", **attributes: Any) -> dict[str, Any]:
    """An event as the Python SDK sends it, with an id of its own; exceptions of one kind are one issue."""
    exception = raised(kind, "'EUR'", frame("shop.orders", f"raise_{kind}", "return rates[currency]"))
    return {
        "event_id": uuid4().hex,
        "platform": "python",
        "exception": {"values": [exception]},
        "user": {"id": "42"},
        "transaction": "/orders/{order_id}",
        **attributes,
    }


def envelope(*items: tuple[str, object], **headers: Any) -> bytes:
    """An envelope of items by type and payload: bytes as they are, all else as JSON."""
    parts = [json.dumps(headers).encode()]
    for kind, payload in items:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        parts += [json.dumps({"type": kind, "length": len(body)}).encode(), body]
    return b"\n".join(parts)


class Sender:
    """Sends to one project by one key."""

    def __init__(self, client: httpx.Client, key: str, project: int = 1) -> None:
        self._client = client
        self.key = key
        self._path = f"/api/{project}"
        self._headers = {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_client=test/1, sentry_key={key}"}

    def send(self, *items: tuple[str, object], **headers: Any) -> httpx.Response:
        return self.post(envelope(*items, **headers))

    def event(self, kind: str = "KeyError", **attributes: Any) -> str:
        """Send an event; gives its id once it is acknowledged."""
        answer = self.send(("event", new_event(kind, **attributes)))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def post(self, body: bytes, path: str = "envelope/", **headers: str) -> httpx.Response:
        return self._client.post(f"{self._path}/{path}", content=body, headers={**self._headers, **headers})
