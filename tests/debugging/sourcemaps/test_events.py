"""From a minified script that fails in Chromium or under Node to an issue in the words of its source."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import psycopg
import pytest
from playwright.sync_api import sync_playwright

from opsbook.debugging.errors.rows import decompress
from tests.conftest import ADMIN_TOKEN
from tests.debugging.sending import Sender, key_of
from tests.debugging.sourcemaps.building import Build, SentryCli, build, event_at, frames_of
from tests.upping import until

Database = psycopg.Connection[Any]
URL = "https://shop.example/static/app.min.js"


@pytest.fixture(scope="module")
def dsn(server: str, database: Database) -> str:
    return server.replace("://", f"://{key_of(database)}@") + "/1"


@pytest.fixture(scope="module")
def sentry_cli(server: str) -> SentryCli:
    return SentryCli(server, ADMIN_TOKEN)


@pytest.fixture
def sender(anonymous: httpx.Client, database: Database) -> Sender:
    return Sender(anonymous, key_of(database))


def uploaded(sentry_cli: SentryCli, folder: Path, *options: str) -> None:
    done = sentry_cli("sourcemaps", "upload", *options, folder)
    assert done.returncode == 0, done.stderr


def kept(database: Database, where: str, *values: object) -> dict[str, Any] | None:
    query = f"select payload from error_events where {where} order by received_at desc limit 1"
    found = database.execute(query.encode(), values).fetchone()
    return decompress(found[0]) if found else None


@pytest.fixture
def page_address(tmp_path: Path, sentry_cli: SentryCli) -> Iterator[str]:
    """A site of its own with the shop's page; its maps are uploaded, and not served."""
    built = build(tmp_path, "page.ts")
    assert sentry_cli("sourcemaps", "inject", tmp_path).returncode == 0
    uploaded(sentry_cli, tmp_path)
    built.script.with_suffix(".js.map").unlink()
    (tmp_path / "index.html").write_text(
        '<!doctype html><meta charset="utf-8"><body>shop<script src="app.min.js"></script>'
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}/"
        site.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_an_error_in_chromium_is_an_issue_in_the_words_of_its_source(
    page_address: str, dsn: str, database: Database
) -> None:
    with sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(15_000)
        page.goto(f"{page_address}?dsn={quote(dsn)}")
        page.locator("body").click()
        until(lambda: kept(database, "user_id = '42'") is not None, 15)
        browser.close()
    event = kept(database, "user_id = '42'")
    assert event is not None
    *_, caller, thrower = frames_of(event)
    assert (thrower["filename"].rpartition("/")[2], thrower["function"], thrower["lineno"]) == (
        "rates.ts",
        "convert",
        6,
    )
    assert (caller["filename"].rpartition("/")[2], caller["lineno"]) == ("app.ts", 11)
    assert "new RangeError" in thrower["context_line"]
    raw = event["exception"]["values"][0]["raw_stacktrace"]["frames"][-1]
    assert urlsplit(raw["filename"]).path == "/app.min.js"
    issue = database.execute("select title, culprit from error_issues where title like 'RangeError%%'").fetchone()
    assert issue is not None
    assert "convert" in issue[1]


def test_an_error_under_node_is_an_issue_in_the_words_of_its_source(
    tmp_path: Path, sentry_cli: SentryCli, dsn: str, database: Database
) -> None:
    built = build(tmp_path, "worker.ts", "--platform=node", "--format=cjs")
    assert sentry_cli("sourcemaps", "inject", tmp_path).returncode == 0
    uploaded(sentry_cli, tmp_path)
    done = subprocess.run(
        [os.environ.get("NODE", "node"), built.script],
        env={"SENTRY_DSN": dsn, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    event = kept(database, "release = 'worker@1.0'")
    assert event is not None
    assert (frames_of(event)[-1]["filename"].rpartition("/")[2], frames_of(event)[-1]["lineno"]) == ("rates.ts", 6)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The shop as it was built before there were debug ids."""
    return build(tmp_path_factory.mktemp("shop"))


def test_a_script_without_debug_id_is_found_by_release_and_address(
    sentry_cli: SentryCli, sender: Sender, shop: Build, database: Database
) -> None:
    uploaded(sentry_cli, shop.script.parent, "--release", "old@1.0", "--url-prefix", "~/static")

    def source_of(release: str) -> str:
        event_id = sender.event(**event_at(URL, *shop.failing, release=release))
        event = kept(database, "event_id = %s", event_id)
        assert event is not None
        return str(frames_of(event)[-1]["filename"])

    until(lambda: source_of("old@1.0").endswith("rates.ts"), 10)
    assert source_of("old@0.9") == URL


def test_a_map_that_comes_late_is_used_when_the_event_is_looked_at(
    sentry_cli: SentryCli, sender: Sender, shop: Build, api: httpx.Client
) -> None:
    event_id = sender.event(**event_at(URL, *shop.failing, release="late@1.0"))

    def shown() -> dict[str, Any]:
        return frames_of(api.get(f"/api/admin/errors/events/{event_id}").json()["document"])[-1]

    assert shown()["filename"] == URL
    uploaded(sentry_cli, shop.script.parent, "--release", "late@1.0", "--url-prefix", "~/static")
    assert (shown()["function"], shown()["lineno"]) == ("convert", 6)
