"""The kit on the HTTP source: it follows a server, through restarts, refusals and nonsense."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import httpx
import psycopg
import pytest

from opsbook.core.errors import Invalid
from opsbook.core.settings import Settings
from opsbook.flags.client import Flags
from opsbook.flags.model import Flag
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.http import HttpSource
from tests.conftest import ADMIN_TOKEN
from tests.flags.helpers import create, follows, set_enabled, until
from tests.serving import serving

BACK_WITHIN_SECONDS = 10.0
"""The attempts of a few seconds' outage are at most 0.2, 0.4, 0.8, 1.6 and 3.2 s apart; then the server starts."""


def test_it_follows_within_a_second(server: str, database: psycopg.Connection) -> None:
    create(database, "http.followed")
    with closing(Flags(HttpSource(server, ADMIN_TOKEN))) as kit:
        assert kit.wait_until_ready(5)
        until(lambda: kit.enabled("http.followed"), within=10)
        for _ in range(10):
            follows(kit, database, "http.followed", within=10)
        database.execute("delete from feature_flags where name = 'http.followed'")
        until(lambda: kit.evaluate("http.followed").error_code == "FLAG_NOT_FOUND", within=10)


def test_a_restarted_server_is_found_again_and_what_was_missed_is_caught_up(
    settings: Settings, database: psycopg.Connection, tmp_path: Path
) -> None:
    create(database, "http.restarted")
    port = free_port()
    with closing(Flags(HttpSource(f"http://127.0.0.1:{port}", ADMIN_TOKEN), tmp_path)) as kit:
        with serving(settings, port):
            assert kit.wait_until_ready(5)
            until(lambda: kit.enabled("http.restarted"), within=10)
        set_enabled(database, "http.restarted", enabled=False)
        assert kit.enabled("http.restarted")
        assert Flags(HttpSource(f"http://127.0.0.1:{port}", ADMIN_TOKEN), tmp_path).snapshot == kit.snapshot
        with serving(settings, port):
            until(lambda: not kit.enabled("http.restarted"), within=BACK_WITHIN_SECONDS)
            follows(kit, database, "http.restarted", within=10)


def test_a_refused_token_is_told_in_the_log_and_the_last_state_served_on(
    server: str, api: httpx.Client, database: psycopg.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create(database, "http.refused")
    with closing(Flags(HttpSource(server, ADMIN_TOKEN), tmp_path)) as kit:
        assert kit.wait_until_ready(5)
        until(lambda: kit.enabled("http.refused"), within=10)
    with closing(Flags(HttpSource(server, "not-a-token"), tmp_path)) as kit, caplog.at_level(logging.WARNING):
        assert kit.enabled("http.refused")
        until(lambda: any("the flag stream answered 401" in text for text in caplog.messages), within=5)
        assert kit.enabled("http.refused")
        assert not kit.ready
    assert "not-a-token" not in caplog.text


class Nonsense(BaseHTTPRequestHandler):
    """Answers each request with the next of its scripted bodies; notes what was asked, by whom and when."""

    bodies: list[bytes]
    resumed_from: list[str | None]
    asked_at: dict[str, list[float]]

    def do_GET(self) -> None:
        self.resumed_from.append(self.headers["Last-Event-ID"])
        self.asked_at.setdefault(self.headers["Authorization"], []).append(time.monotonic())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.bodies.pop(0) if self.bodies else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Say nothing."""


@pytest.fixture
def nonsense() -> Iterator[tuple[str, type[Nonsense]]]:
    handler = type("Handler", (Nonsense,), {"bodies": [], "resumed_from": [], "asked_at": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


STATE = b'event: snapshot\nid: 7\ndata: {"revision": 7, "flags": {"kept": {"name": "kept", "enabled": true}}}\n\n'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"event: \xff\n\n",
        b"event: change\ndata: {\n\n",
        b"event: change\ndata: null\n\n",
        b'event: change\ndata: {"revision": "8", "flags": {}}\n\n',
        b'event: change\ndata: {"revision": 8, "flags": {"kept": {"name": "kept", "rollout_percentage": 1e999}}}\n\n',
        b"event: unknown\ndata: {}\n\n",
        b"<html>a proxy's page</html>",
    ],
    ids=lambda body: repr(body[:32]),
)
def test_nonsense_is_survived_and_what_comes_after_it_is_heard(
    nonsense: tuple[str, type[Nonsense]], body: bytes
) -> None:
    url, handler = nonsense
    handler.bodies += [STATE, body, STATE.replace(b"7", b"9")]
    with closing(Flags(HttpSource(url, "token"))) as kit:
        assert kit.wait_until_ready(5)
        assert kit.enabled("kept")
        until(lambda: kit.snapshot.revision == 9, within=BACK_WITHIN_SECONDS)
        assert kit.enabled("kept")


def test_it_says_what_it_holds_when_it_comes_back(nonsense: tuple[str, type[Nonsense]], tmp_path: Path) -> None:
    url, handler = nonsense
    handler.bodies += [STATE]
    with closing(Flags(HttpSource(url, "token"), tmp_path)) as kit:
        until(lambda: kit.enabled("kept") and len(handler.resumed_from) >= 2, within=BACK_WITHIN_SECONDS)
    assert handler.resumed_from[:2] == [None, "7"]
    handler.resumed_from.clear()
    # What a file says is not trusted to be the server's state, however new it looks.
    with closing(Flags(HttpSource(url, "token"), tmp_path)) as kit:
        assert kit.enabled("kept")
        until(lambda: handler.resumed_from, within=BACK_WITHIN_SECONDS)
    assert handler.resumed_from[0] is None


def test_those_who_were_cut_off_together_come_back_apart(nonsense: tuple[str, type[Nonsense]]) -> None:
    """Of thirty waits that lie anywhere below 0.2 s one is shorter than 0.1 s, but for one run in a billion."""
    url, handler = nonsense
    with ExitStack() as stack:
        for number in range(10):
            stack.enter_context(closing(Flags(HttpSource(url, f"token-{number}")))).start()
        until(
            lambda: [len(times) > 3 for times in tuple(handler.asked_at.values())] == [True] * 10, BACK_WITHIN_SECONDS
        )
        waits = [later - earlier for times in handler.asked_at.values() for earlier, later in pairwise(times)]
    assert min(waits) < 0.1


@pytest.mark.parametrize("url", ["", "ftp://example.com", "http://", "127.0.0.1:8000", "//host", "http://host:port"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(Invalid, match="OPSBOOK_URL"):
        HttpSource(url, "token")


def test_closing_ends_the_thread_at_once_though_nothing_is_sent(server: str) -> None:
    kit = Flags(HttpSource(server, ADMIN_TOKEN))
    assert kit.wait_until_ready(5)
    threads = threading.active_count()
    started = time.monotonic()
    kit.close()
    assert time.monotonic() - started < 1
    assert threading.active_count() < threads


def test_memory_outlives_the_server(nonsense: tuple[str, type[Nonsense]]) -> None:
    url, _ = nonsense
    with closing(Flags(HttpSource(url, "token"))) as kit:
        kit.receive(Snapshot.of(3, [Flag(name="kept", enabled=True)]))
        kit.start()
        assert kit.enabled("kept")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
