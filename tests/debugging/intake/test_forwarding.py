"""What is accepted goes on to another Sentry where SENTRY_DSN names one, and nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from opsbook.core.settings import load_settings
from opsbook.debugging.protocol.envelope import Envelope, parse_envelope
from tests.debugging.sending import Sender, envelope, key_of, new_event
from tests.serving import serving
from tests.upping import until

THEIR_KEY = "f" * 32


@contextmanager
def another_sentry(status: int = 200) -> Iterator[tuple[str, list[tuple[str, str, Envelope]]]]:
    """Its DSN, and what it got: path, credentials and envelope of each request."""
    got: list[tuple[str, str, Envelope]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["X-Sentry-Auth"], parse_envelope(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (as the base class has it)
            """Nothing: the test looks at what arrived."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://{THEIR_KEY}@127.0.0.1:{other.server_port}/77", got
        finally:
            other.shutdown()
            thread.join(10)


@contextmanager
def sender_to(ops_url: str, home: Path, dsn: str) -> Iterator[Sender]:
    settings = load_settings(ops_database_url=ops_url, secret_key="0" * 64, home=home, sentry_dsn=dsn)
    with serving(settings) as address, httpx.Client(base_url=address, timeout=30) as client:
        with psycopg.connect(ops_url) as database:
            key = key_of(database)
        yield Sender(client, key)


def test_what_is_accepted_goes_on_under_the_others_key(ops_url: str, tmp_path: Path) -> None:
    with another_sentry() as (dsn, got), sender_to(ops_url, tmp_path, dsn) as sender:
        event = new_event()
        key = sender.key
        assert sender.send(("event", event), event_id=event["event_id"], dsn=f"http://{key}@localhost/1").is_success
        assert sender.post(b"not an envelope").status_code == 400
        until(lambda: len(got) == 1, 10)
        path, credentials, forwarded = got[0]
        assert path == "/api/77/envelope/"
        assert f"sentry_key={THEIR_KEY}" in credentials
        assert forwarded.dsn is None
        assert forwarded.event_id == event["event_id"]
        assert [item.type for item in forwarded.items] == ["event"]


def test_an_event_that_came_alone_goes_on_in_an_envelope(ops_url: str, tmp_path: Path) -> None:
    with another_sentry() as (dsn, got), sender_to(ops_url, tmp_path, dsn) as sender:
        assert sender.post(b'{"message": "alone"}', "store/").is_success
        until(lambda: len(got) == 1, 10)
        assert bytes(got[0][2].items[0].payload) == b'{"message": "alone"}'


@pytest.mark.parametrize("status", [429, 500])
def test_when_the_other_refuses_nobody_notices(ops_url: str, tmp_path: Path, status: int) -> None:
    with another_sentry(status) as (dsn, got), sender_to(ops_url, tmp_path, dsn) as sender:
        sender.event()
        until(lambda: len(got) == 1, 10)
        assert all(sender.post(envelope(("event", new_event()))).is_success for _ in range(3))


def test_a_dsn_that_leads_here_is_not_followed(ops_url: str, tmp_path: Path) -> None:
    with another_sentry() as (dsn, got):
        with psycopg.connect(ops_url) as database:
            ours = dsn.replace(THEIR_KEY, key_of(database))
        with sender_to(ops_url, tmp_path, ours) as sender:
            sender.event()
            assert sender.event()
        assert got == []
