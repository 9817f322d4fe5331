"""Unleash's client API, asked by Unleash's own clients."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb
from UnleashClient import UnleashClient  # pyright: ignore[reportPrivateImportUsage]

from tests.conftest import ADMIN_TOKEN
from tests.flags.helpers import create, until

ROOT = Path(__file__).parents[3]
RULES = Jsonb([{"name": "paying", "constraints": [{"field": "plan", "operator": "in", "values": ["pro"]}]}])
VARIANTS = Jsonb([{"name": "blue", "weight": 1, "value": "#00f"}])


def token(api: httpx.Client, *scopes: str) -> str:
    given = {"name": f"unleash-{'-'.join(scopes)}", "role": "viewer", "scopes": list(scopes)}
    answer = api.post("/api/admin/tokens", json=given)
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


@pytest.fixture(scope="module")
def reader(api: httpx.Client) -> str:
    return token(api, "flags:read")


@pytest.fixture(scope="module")
def unleash(server: str, reader: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": reader, "Unleash-Client-Spec": "5.2.0"}
    with httpx.Client(base_url=f"{server}/api/client", headers=headers, timeout=30) as client:
        yield client


def feature(unleash: httpx.Client, name: str) -> dict[str, Any] | None:
    body = unleash.get("/features").json()
    return next((each for each in body["features"] if each["name"] == name), None)


@contextmanager
def python_client(server: str, secret: str, folder: Path, **mode: Any) -> Iterator[UnleashClient]:
    client = UnleashClient(
        f"{server}/api",
        "python-app",
        refresh_interval=1,
        metrics_interval=1,
        custom_headers={"Authorization": secret},
        cache_directory=str(folder),
        **mode,
    )
    client.initialize_client()
    try:
        yield client
    finally:
        client.destroy()


@contextmanager
def node_client(server: str, secret: str, name: str, mode: str) -> Iterator[Callable[[], Mapping[str, Any]]]:
    """A Node app; gives what reads its next change."""
    command = [os.environ.get("NODE", "node"), str(Path(__file__).with_name("follow.js"))]
    arguments = [f"{server}/api", secret, name, mode]
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        lines: Queue[str] = Queue()
        assert process.stdout is not None
        reading = threading.Thread(target=lambda output: [lines.put(line) for line in output], args=[process.stdout])
        reading.start()
        try:
            yield lambda: json.loads(lines.get(timeout=15))
        finally:
            process.kill()
            reading.join()


STREAMING = {"experimental_mode": {"type": "streaming"}}


@pytest.mark.parametrize(("mode", "within"), [({}, 4.0), (STREAMING, 1.0)], ids=["polling", "streaming"])
def test_an_unleash_app_in_python_obeys_sql(
    server: str, reader: str, database: psycopg.Connection, tmp_path: Path, mode: dict[str, Any], within: float
) -> None:
    name = f"python-{'stream' if mode else 'poll'}"
    create(database, name, rollout_percentage=0, rules=RULES, value_type="string", variants=VARIANTS)
    paying = {"userId": "u", "properties": {"plan": "pro"}}
    with python_client(server, reader, tmp_path, **mode) as client:
        until(lambda: client.is_enabled(name, paying), 10)
        assert not client.is_enabled(name, {"userId": "u", "properties": {"plan": "free"}})
        variant = client.get_variant(name, paying)
        assert (variant["name"], variant["payload"]) == ("blue", {"type": "string", "value": "#00f"})
        database.execute("update feature_flags set kill_switch = true where name = %s", [name])
        until(lambda: not client.is_enabled(name, paying), within)


@pytest.mark.parametrize("mode", ["polling", "streaming"])
def test_an_unleash_app_in_node_obeys_sql(server: str, reader: str, database: psycopg.Connection, mode: str) -> None:
    name = f"node-{mode}"
    create(database, name, rollout_percentage=0, rules=RULES, value_type="string", variants=VARIANTS)
    with node_client(server, reader, name, mode) as changed:
        assert changed() == {"enabled": True, "variant": "blue", "payload": {"type": "string", "value": "#00f"}}
        database.execute("update feature_flags set kill_switch = true where name = %s", [name])
        assert changed() == {"enabled": False, "variant": "disabled"}


def test_what_sdks_count_is_seen_with_the_kits_own_counts(
    server: str, reader: str, database: psycopg.Connection, api: httpx.Client, tmp_path: Path
) -> None:
    create(database, "counted", rollout_percentage=100)
    with python_client(server, reader, tmp_path) as client:
        until(lambda: client.is_enabled("counted", {"userId": "u"}), 10)
        until(lambda: api.get("/api/admin/feature-flags/counted/exposures").json(), 10)
    variants = {each["variant"] for each in api.get("/api/admin/feature-flags/counted/exposures").json()}
    assert "on" in variants


def test_nothing_is_sent_twice_and_a_change_is(unleash: httpx.Client, database: psycopg.Connection) -> None:
    create(database, "tagged")
    until(lambda: feature(unleash, "tagged"), 5)
    first = unleash.get("/features")
    again = unleash.get("/features", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    database.execute("update feature_flags set enabled = false where name = 'tagged'")
    until(lambda: feature(unleash, "tagged") != feature_of(first, "tagged"), 5)
    changed = unleash.get("/features", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200


def feature_of(answer: httpx.Response, name: str) -> dict[str, Any]:
    return next(each for each in answer.json()["features"] if each["name"] == name)


def test_an_sdk_too_old_for_segments_gets_their_constraints(
    unleash: httpx.Client, database: psycopg.Connection
) -> None:
    inside = Jsonb([{"field": "plan", "operator": "in", "values": ["pro"]}])
    database.execute("insert into flag_segments (name, constraints) values ('inside', %s)", [inside])
    create(database, "segmented", rollout_percentage=0, rules=Jsonb([{"segments": ["inside"]}]))
    until(lambda: feature(unleash, "segmented"), 5)
    known = unleash.get("/features").json()
    (strategy,) = next(each for each in known["features"] if each["name"] == "segmented")["strategies"]
    assert strategy["constraints"] == []
    assert [s["name"] for s in known["segments"] if s["id"] in strategy["segments"]] == ["inside"]
    old = unleash.get("/features", headers={"Unleash-Client-Spec": "3.0.0"}).json()
    (strategy,) = next(each for each in old["features"] if each["name"] == "segmented")["strategies"]
    assert (strategy["segments"], old["segments"]) == ([], [])
    assert strategy["constraints"][0]["values"] == ["pro"]


def test_what_unleash_cannot_say_is_counted(unleash: httpx.Client, database: psycopg.Connection) -> None:
    before = int(unleash.get("/features").headers["opsbook-left-behind"])
    create(database, "hundredths", rollout_percentage=12.5)
    until(lambda: feature(unleash, "hundredths"), 5)
    assert int(unleash.get("/features").headers["opsbook-left-behind"]) == before + 1


@pytest.mark.parametrize(("method", "path"), [("GET", "features"), ("GET", "streaming"), ("POST", "metrics")])
def test_a_token_is_needed_that_may_read_rules(
    anonymous: httpx.Client, api: httpx.Client, method: str, path: str
) -> None:
    def ask(**headers: str) -> int:
        return anonymous.request(method, f"/api/client/{path}", headers=headers).status_code

    assert ask() == 401
    assert ask(Authorization="default:production.forged") == 401
    assert ask(Authorization=token(api, "audit:read")) == 403
    assert ask(Authorization=token(api, "flags:evaluate")) == 403


def test_the_token_may_be_called_a_bearer(anonymous: httpx.Client, reader: str) -> None:
    for given in (reader, f"Bearer {reader}", f"bearer {reader}", ADMIN_TOKEN):
        assert anonymous.get("/api/client/features", headers={"Authorization": given}).status_code == 200


@pytest.mark.parametrize("path", ["register", "metrics"])
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"appName": 5}', b'{"appName":"a","bucket":{"toggles":{"f":{"yes":-1}}}}']
)
def test_reports_that_are_none_are_refused(unleash: httpx.Client, path: str, body: bytes) -> None:
    answer = unleash.post(f"/{path}", content=body)
    assert answer.status_code == (202 if path == "register" and b"bucket" in body else 422)


def test_reports_of_unknown_flags_are_passed_over(unleash: httpx.Client) -> None:
    toggles = {"gone": {"yes": 3, "no": 1}, "bad\x00name": {"yes": 1}, "": {"yes": 1}}
    answer = unleash.post("/metrics", json={"appName": "a", "bucket": {"toggles": toggles}})
    assert answer.status_code == 202
