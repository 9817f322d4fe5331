"""The front end's firewall is told: Vercel's REST API as its contract has it, on a server built from that."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from opsbook.core.postgres.connect import connect
from opsbook.core.queries import load_queries
from opsbook.core.settings import Settings
from opsbook.performance.blocks.firewalls.push import configured_firewall, push
from opsbook.performance.blocks.firewalls.vercel import VercelFirewall

QUERIES = load_queries("opsbook.performance.blocks")
TOKEN = "token-of-the-account"
PLACE = {"projectId": ["prj_1"], "teamId": ["team_1"]}


class Vercel(ThreadingHTTPServer):
    """One project's firewall: rules by id, and what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rules: dict[str, dict[str, Any]] = {}
        self.changes: list[str] = []
        self.configured = True
        self.failing: tuple[int, str] | None = None
        self.most = 1000

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def blocked(self) -> list[str]:
        return sorted(rule["ip"] for rule in self.rules.values())


class _Handler(BaseHTTPRequestHandler):
    @property
    def vercel(self) -> Vercel:
        assert isinstance(self.server, Vercel)
        return self.server

    def do_GET(self) -> None:
        if self._may("/v1/security/firewall/config/active"):
            if not self.vercel.configured:
                self._answer(404, {"error": {"code": "not_found", "message": "No config"}})
                return
            ips = [{"id": number, **rule} for number, rule in self.vercel.rules.items()]
            self._answer(200, {"version": 1, "firewallEnabled": True, "rules": [], "ips": ips})

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._may("/v1/security/firewall/config"):
            return
        self.vercel.changes.append(body["action"])
        if body["action"] == "ip.remove":
            del self.vercel.rules[body["id"]]
        else:
            assert body["action"] == "ip.insert" and body["id"] is None
            value = body["value"]
            assert set(value) == {"action", "hostname", "ip", "notes"}
            assert (value["action"], value["hostname"]) == ("deny", "*")
            if len(self.vercel.rules) >= self.vercel.most:
                self._answer(400, {"error": {"code": "bad_request", "message": "too many IP rules"}})
                return
            self.vercel.rules[f"ip_{len(self.vercel.changes)}"] = value
        self._answer(200, {})

    def _may(self, path: str) -> bool:
        asked = urlsplit(self.path)
        assert (asked.path, parse_qs(asked.query)) == (path, PLACE)
        if self.vercel.failing is not None:
            self._answer(self.vercel.failing[0], {"error": {"message": self.vercel.failing[1]}})
        elif self.headers["authorization"] != f"Bearer {TOKEN}":
            self._answer(403, {"error": {"code": "forbidden", "message": "Not authorized"}})
        else:
            return True
        return False

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


@pytest.fixture
def vercel() -> Iterator[Vercel]:
    with Vercel() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.fixture(autouse=True)
def _none_left(database: psycopg.Connection) -> None:
    database.execute("delete from address_blocks")
    database.execute("delete from firewall_pushes")


def told(ops_url: str, server: Vercel, token: str = TOKEN, most: int | None = None) -> None:
    """What the worker does every ten seconds."""
    firewall = VercelFirewall(token, "prj_1", "team_1", server.address)
    if most is not None:
        firewall.most_rules = most

    async def telling() -> None:
        async with connect(ops_url, "test") as connection:
            await push(connection, firewall)

    asyncio.run(telling())


def outcome(database: psycopg.Connection) -> tuple[Any, ...] | None:
    return database.execute("select networks, left_out, error from firewall_pushes").fetchone()


def block(database: psycopg.Connection, *networks: str) -> None:
    database.execute(
        "insert into address_blocks (network, reason) select n::cidr, 'scraping' from unnest(%s::text[]) n",
        [[*networks]],
    )


def test_it_refuses_what_is_blocked_and_nothing_else_of_ours(
    ops_url: str, vercel: Vercel, database: psycopg.Connection
) -> None:
    by_hand = {"ip": "192.0.2.1", "hostname": "*", "action": "deny", "notes": "by hand"}
    vercel.rules["ip_0"] = by_hand
    block(database, "203.0.113.0/24", "198.51.100.7/32", "2001:db8::/48")
    told(ops_url, vercel)
    assert vercel.blocked() == ["192.0.2.1", "198.51.100.7", "2001:db8::/48", "203.0.113.0/24"]
    assert {rule["notes"] for rule in vercel.rules.values()} == {"by hand", "opsbook: scraping"}
    database.execute("delete from address_blocks where family(network) = 6")
    told(ops_url, vercel)
    assert vercel.blocked() == ["192.0.2.1", "198.51.100.7", "203.0.113.0/24"]
    assert vercel.changes == ["ip.insert"] * 3 + ["ip.remove"]
    assert outcome(database) == (2, 0, None)


def test_told_once_it_is_left_alone(ops_url: str, vercel: Vercel, database: psycopg.Connection) -> None:
    block(database, "203.0.113.0/24")
    told(ops_url, vercel)
    vercel.rules.clear()
    told(ops_url, vercel)
    assert vercel.rules == {}
    database.execute("update firewall_pushes set pushed_at = now() - interval '16 minutes'")
    told(ops_url, vercel)
    assert vercel.blocked() == ["203.0.113.0/24"]


def test_two_workers_do_not_tell_it_at_once(ops_url: str, vercel: Vercel, database: psycopg.Connection) -> None:
    block(database, "203.0.113.0/24")
    with psycopg.connect(ops_url) as other:
        assert other.execute(QUERIES["take_push_turn"], {"firewall": "vercel"}).fetchone() == (True,)
        told(ops_url, vercel)
        assert (vercel.changes, outcome(database)) == ([], None)
    told(ops_url, vercel)
    assert vercel.blocked() == ["203.0.113.0/24"]


def test_a_project_without_a_firewall_gets_one(ops_url: str, vercel: Vercel, database: psycopg.Connection) -> None:
    vercel.configured = False
    block(database, "203.0.113.0/24")
    told(ops_url, vercel)
    assert vercel.blocked() == ["203.0.113.0/24"]


@pytest.mark.parametrize(
    ("failing", "token", "said"),
    [((500, "internal"), TOKEN, "500"), ((429, "slow down"), TOKEN, "slow down"), (None, "another", "Not authorized")],
)
def test_what_it_refuses_is_noted_and_tried_again(
    ops_url: str, vercel: Vercel, database: psycopg.Connection, failing: tuple[int, str] | None, token: str, said: str
) -> None:
    block(database, "203.0.113.0/24")
    vercel.failing = failing
    told(ops_url, vercel, token)
    found = outcome(database)
    assert found is not None
    assert said in found[2]
    assert token not in found[2]
    vercel.failing = None
    told(ops_url, vercel)
    assert vercel.blocked() == ["203.0.113.0/24"]
    assert outcome(database) == (1, 0, None)


def test_it_takes_the_newest_and_the_outermost(ops_url: str, vercel: Vercel, database: psycopg.Connection) -> None:
    block(database, "192.0.2.0/24")
    block(database, "198.51.100.0/24", "203.0.113.0/24", "203.0.113.7/32")
    told(ops_url, vercel, most=2)
    assert vercel.blocked() == ["198.51.100.0/24", "203.0.113.0/24"]
    assert outcome(database) == (2, 1, None)


def test_it_is_off_unless_it_is_named(settings: Settings) -> None:
    assert configured_firewall(settings) is None
    named = Settings.model_validate({"VERCEL_TOKEN": TOKEN, "VERCEL_PROJECT_ID": "prj_1"})
    firewall = configured_firewall(named)
    assert firewall is not None
    assert TOKEN not in repr(firewall)
