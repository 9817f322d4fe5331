"""Published OpenFeature clients, unmodified, pointed at us: each follows a flag and obeys a kill by SQL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg
import pytest
from openfeature import api as openfeature
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from playwright.sync_api import Page, expect, sync_playwright
from psycopg.types.json import Jsonb

from tests.flags.helpers import create, psql, until

ROOT = Path(__file__).parent.parent.parent.parent
CLIENTS = Path(__file__).parent / "clients"
PACKAGES = ROOT / "node_modules" / "@openfeature"
SOMEBODY = EvaluationContext("user-1", {"plan": "pro"})
KILL = "update feature_flags set kill_switch = true where name = 'followed'"


@pytest.fixture(scope="module")
def token(api: httpx.Client, database: psycopg.Connection) -> str:
    """What an app gets: it may evaluate, no more. The flags are known to the server."""
    paying = {"constraints": [{"field": "plan", "operator": "in", "values": ["pro"]}]}
    create(database, "targeted", rollout_percentage=0, rules=Jsonb([paying]))
    create(database, "half", rollout_percentage=50)
    create(database, "text-off", value_type="string", enabled=False)
    for name, kind, value in (("text", "string", "blue"), ("number", "number", 7), ("object", "object", {"a": [1]})):
        create(database, name, value_type=kind, variants=Jsonb([{"name": "only", "value": value}]))
    create(database, "followed", rollout_percentage=0, rules=Jsonb([paying]))
    made = {"name": "app", "role": "viewer", "scopes": ["flags:evaluate"]}
    until(lambda: api.post("/ofrep/v1/evaluate/flags/followed", json={}).status_code == 200, 5)
    return api.post("/api/admin/tokens", json=made).json()["token"]


@pytest.fixture(autouse=True)
def _followed_is_alive(database: psycopg.Connection) -> Iterator[None]:
    yield
    database.execute("update feature_flags set kill_switch = false where name = 'followed'")


@pytest.fixture
def python_app(server: str, token: str) -> Iterator[OpenFeatureClient]:
    provider = OFREPProvider(server, headers_factory=lambda: {"Authorization": f"Bearer {token}"})
    openfeature.set_provider_and_wait(provider, "ofrep")
    yield openfeature.get_client("ofrep")
    openfeature.clear_providers()
    provider.session.close()


def test_an_app_in_python(python_app: OpenFeatureClient, ops_url: str) -> None:
    ask = python_app
    assert ask.get_boolean_details("targeted", False, SOMEBODY).reason == "TARGETING_MATCH"
    assert ask.get_string_value("text", "red", SOMEBODY) == "blue"
    assert ask.get_string_details("text-off", "red", SOMEBODY).error_code is None
    assert ask.get_string_value("text-off", "red", SOMEBODY) == "red"
    assert ask.get_integer_value("number", 1, SOMEBODY) == 7
    assert ask.get_object_value("object", {}, SOMEBODY) == {"a": [1]}
    assert ask.get_boolean_details("missing", True).error_code == "FLAG_NOT_FOUND"
    assert ask.get_boolean_details("half", True).error_code == "TARGETING_KEY_MISSING"
    assert ask.get_string_details("targeted", "red", SOMEBODY).error_code == "TYPE_MISMATCH"

    until(lambda: ask.get_boolean_value("followed", False, SOMEBODY), 2)
    assert psql(ops_url, KILL).returncode == 0
    until(lambda: not ask.get_boolean_value("followed", True, SOMEBODY), 1)


def test_a_token_that_is_refused_leaves_the_default(server: str) -> None:
    provider = OFREPProvider(server, headers_factory=lambda: {"X-API-Key": "wrong"})
    openfeature.set_provider_and_wait(provider, "refused")
    details = openfeature.get_client("refused").get_boolean_details("targeted", True)
    assert (details.value, details.error_code, details.error_message) == (True, "GENERAL", "unauthorized")
    openfeature.clear_providers()
    provider.session.close()


@pytest.fixture
def node_app(server: str, token: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines that an app under Node prints."""
    program = [os.environ.get("NODE", "node"), str(CLIENTS / "server_app.mjs"), server, token]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT) as app:
        timer = threading.Timer(30, app.kill)
        timer.start()
        assert app.stdout is not None
        yield map(json.loads, app.stdout)
        timer.cancel()
        app.kill()


def test_an_app_under_node(node_app: Iterator[dict[str, Any]], ops_url: str) -> None:
    asked = next(node_app)
    values = {name: (details["value"], details.get("errorCode")) for name, details in asked.items()}
    assert values == {
        "targeted": (True, None),
        "text": ("blue", None),
        "number": (7, None),
        "object": ({"a": [1]}, None),
        "missing": (True, "FLAG_NOT_FOUND"),
        "keyless": (True, "TARGETING_KEY_MISSING"),
        "mistaken": ("red", "TYPE_MISMATCH"),
    }
    assert next(node_app) == {"followed": True}
    assert psql(ops_url, KILL).returncode == 0
    assert next(node_app) == {"followed": False}


@pytest.fixture(scope="module")
def other_origin() -> Iterator[str]:
    """A site of its own that serves a page and, from node_modules, the published modules."""
    handler = partial(_Site, directory=str(ROOT))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()


class _Site(SimpleHTTPRequestHandler):
    """The page, with a map of where a browser finds each module; and the files of the project."""

    def do_GET(self) -> None:
        if self.path.startswith("/app"):
            self._send_page()
        else:
            super().do_GET()

    def _send_page(self) -> None:
        page = (CLIENTS / "page.html").read_text()
        page = page.replace("<script", f'<script type="importmap">{import_map()}</script><script', 1)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def import_map() -> str:
    web = PACKAGES / "ofrep-web-provider"
    own_core = web / "node_modules" / "@openfeature" / "ofrep-core"
    modules = {
        "@openfeature/core": PACKAGES / "core" / "dist" / "esm" / "index.js",
        "@openfeature/web-sdk": PACKAGES / "web-sdk" / "dist" / "esm" / "index.js",
        "@openfeature/ofrep-web-provider": web / "index.esm.js",
        "@openfeature/ofrep-core": (own_core if own_core.is_dir() else PACKAGES / "ofrep-core") / "index.esm.js",
    }
    return json.dumps({"imports": {name: f"/{path.relative_to(ROOT)}" for name, path in modules.items()}})


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        found = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.set_default_timeout(10_000)
        yield opened
        browser.close()


def test_a_page_of_another_origin(
    page: Page, other_origin: str, server: str, token: str, database: psycopg.Connection
) -> None:
    page.goto(f"{other_origin}/app?{urlencode({'server': server, 'token': token, 'plan': 'pro'})}")
    expect(page).to_have_title("followed is on")
    values = {name: (seen["value"], seen.get("errorCode")) for name, seen in page.evaluate("details()").items()}
    assert values == {
        "targeted": (True, None),
        "text": ("blue", None),
        "off": ("red", None),
        "object": ({"a": [1]}, None),
        "missing": (True, "FLAG_NOT_FOUND"),
    }

    database.execute(KILL)
    expect(page).to_have_title("followed is off", timeout=2000)
    expect(page.locator("#events")).to_contain_text("changed followed")
    database.execute("update feature_flags set kill_switch = false where name = 'followed'")
    expect(page).to_have_title("followed is on", timeout=2000)

    page.evaluate("become('free')")  # the entity tag of the other context is not taken for this one's
    expect(page).to_have_title("followed is off")
    page.evaluate("become('pro')")
    expect(page).to_have_title("followed is on")
    database.execute(KILL)
    expect(page).to_have_title("followed is off", timeout=2000)
    expect(page.get_by_text("stale")).to_have_count(0)
