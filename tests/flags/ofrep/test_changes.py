"""OFREP's event stream: who may read, what is told when, what is replayed."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from opsbook.core.http import server_sent
from opsbook.flags.ofrep.tickets import read_ticket, write_ticket
from tests.flags.helpers import create, set_enabled, until

BULK = "/ofrep/v1/evaluate/flags"
CHANGES = "/ofrep/v1/changes"
HEARD_WITHIN_SECONDS = 2.0
FAR_AHEAD = 999_999_999


@dataclass
class Reader:
    """One open stream."""

    response: http.client.HTTPResponse

    def next(self) -> dict[str, str]:
        """The fields of the next event; of none but `retry` or a comment, too."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        return fields

    def next_change(self) -> tuple[int, dict[str, Any]]:
        """The next event's id and data."""
        while "data" not in (fields := self.next()):
            pass
        return int(fields["id"]), json.loads(fields["data"])


def address(client: httpx.Client) -> str:
    (entry,) = client.post(BULK, json={"context": {"targetingKey": "u"}}).json()["eventStreams"]
    assert entry["type"] == "sse"
    assert entry["inactivityDelaySec"] >= 1
    return entry["endpoint"]["requestUri"]


@contextmanager
def reading(server: str, path: str, held: str | None = None) -> Iterator[Reader]:
    headers = {"Origin": "http://a.example"} | ({"Last-Event-ID": held} if held else {})
    with closing(http.client.HTTPConnection(urlsplit(server).netloc, timeout=HEARD_WITHIN_SECONDS)) as connection:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            assert response.status == 200, response.read()
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["access-control-allow-origin"] == "*"
            yield Reader(response)


def test_each_change_is_told_once(server: str, api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "told")
    with reading(server, address(api)) as reader:
        assert 500 <= int(reader.next()["retry"]) <= 3000
        before, data = reader.next_change()
        assert data == {"type": "refetchEvaluation", "etag": f'"{before}"'}
        row = database.execute(b"update feature_flags set kill_switch = true returning revision").fetchone()
        assert row is not None
        told, data = reader.next_change()
        while told < row[0]:  # the server may not have heard of the creation when the stream began
            told, data = reader.next_change()
        assert (told, data["type"]) == (row[0], "refetchEvaluation")


def test_what_was_missed_is_told_on_return(server: str, api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "missed")
    path = address(api)
    with reading(server, path) as reader:
        held, _ = reader.next_change()
        while held < newest(database):
            held, _ = reader.next_change()
    set_enabled(database, "missed", enabled=False)
    set_enabled(database, "missed", enabled=True)
    for returning in (str(held), "1", str(FAR_AHEAD)):  # a revision of the future is of a database since restored
        with reading(server, path, held=returning) as reader:
            told, _ = reader.next_change()
            while told < newest(database):
                told, _ = reader.next_change()


def test_who_has_missed_nothing_is_told_nothing(server: str, api: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "unmissed")
    path = address(api)
    with reading(server, path) as reader:
        held, _ = reader.next_change()
        while held < newest(database):
            held, _ = reader.next_change()
    with reading(server, path, held=str(held)) as reader:
        set_enabled(database, "unmissed", enabled=False)
        assert reader.next_change()[0] > held


@pytest.mark.parametrize("ticket", ["", "0", "0.1.00", "0.99999999999." + "0" * 64, "é", "0" * 5000])
def test_a_forged_ticket_opens_nothing(anonymous: httpx.Client, ticket: str) -> None:
    answer = anonymous.get(CHANGES, params={"ticket": ticket})
    assert answer.status_code == 401
    assert anonymous.get(CHANGES).status_code == 401


def test_a_ticket_of_another_token_is_not_made_by_changing_its_number(
    api: httpx.Client, anonymous: httpx.Client
) -> None:
    path = address(api)
    assert anonymous.get(path.replace("ticket=0.", "ticket=1.")).status_code == 401


def test_a_ticket_runs_out_and_changes_seldom() -> None:
    key, start = b"k" * 32, 1_800_000_000.0
    ticket = write_ticket(key, 7, start)
    assert write_ticket(key, 7, start + 60) == ticket
    assert read_ticket(key, ticket, start + 14 * 60) == 7
    with pytest.raises(Exception, match="run out"):
        read_ticket(key, ticket, start + 30 * 60)
    with pytest.raises(Exception, match="not of ours"):
        read_ticket(b"other", ticket, start)


def test_a_new_ticket_is_never_withheld_as_unchanged(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose old ticket has run out asks conditionally, and would otherwise be sent back to that ticket."""
    first = api.post(BULK, json={})
    held = {"If-None-Match": first.headers["etag"]}
    assert api.post(BULK, json={}, headers=held).status_code == 304
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    later = api.post(BULK, json={}, headers=held)
    assert later.status_code == 200
    assert later.json()["eventStreams"] != first.json()["eventStreams"]


def test_a_revoked_token_opens_no_stream_and_ends_an_open_one(
    server: str, api: httpx.Client, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_sent, "HEARTBEAT_SECONDS", 0.05)
    token = api.post(
        "/api/admin/tokens", json={"name": "reader", "role": "viewer", "scopes": ["flags:evaluate"]}
    ).json()["token"]
    create(database, "watched")
    with httpx.Client(base_url=server, headers={"X-API-Key": token}) as client:
        path = address(client)
        with reading(server, path) as reader:
            reader.next_change()
            database.execute("update api_tokens set revoked_at = now() where name = 'reader'")
            until(lambda: status(client, path) == 401, 2)
            set_enabled(database, "watched", enabled=False)
            while reader.response.readline():
                pass


def status(client: httpx.Client, path: str) -> int:
    with client.stream("GET", path) as answer:
        return answer.status_code


def newest(database: psycopg.Connection) -> int:
    row = database.execute("select revision from revisions where topic = 'flags'").fetchone()
    assert row is not None
    return row[0]
