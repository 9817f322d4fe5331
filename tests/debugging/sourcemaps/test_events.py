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


def shown(api: httpx.Client, event_id: object) -> dict[str, Any]:
    """An event as whoever looks at it sees it."""
    return api.get(f"/api/admin/errors/events/{event_id}").json()["document"]


def event_where(database: Database, condition: str) -> object:
    """The id of the event of which that is true, once there is one."""
    query = f"select event_id from error_events where {condition}".encode()
    until(lambda: database.execute(query).fetchone() is not None, 15)
    found = database.execute(query).fetchone()
    assert found is not None
    return found[0]


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
    page_address: str, dsn: str, database: Database, api: httpx.Client
) -> None:
    with sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(15_000)

        def is_grouped_by_source() -> bool:
            page.goto(f"{page_address}?dsn={quote(dsn)}")
            with page.expect_response("**/envelope/*"):
                page.locator("body").click()
            grouped = "select from error_issues where title like 'RangeError%%' and culprit like '%%convert%%'"
            return database.execute(grouped).fetchone() is not None

        until(is_grouped_by_source, 30)  # from when the server's process has heard of the upload
        browser.close()
    event = shown(api, event_where(database, "user_id = '42' order by received_at desc"))
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


def test_an_error_under_node_is_an_issue_in_the_words_of_its_source(
    tmp_path: Path, sentry_cli: SentryCli, dsn: str, database: Database, api: httpx.Client
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
    thrower = frames_of(shown(api, event_where(database, "release = 'worker@1.0'")))[-1]
    assert (thrower["filename"].rpartition("/")[2], thrower["lineno"]) == ("rates.ts", 6)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The shop as it was built before there were debug ids."""
    return build(tmp_path_factory.mktemp("shop"))


def test_a_script_without_debug_id_is_found_by_release_and_address(
    sentry_cli: SentryCli, sender: Sender, shop: Build, api: httpx.Client
) -> None:
    uploaded(sentry_cli, shop.script.parent, "--release", "old@1.0", "--url-prefix", "~/static")

    def source_of(release: str) -> str:
        event_id = sender.event(**event_at(URL, *shop.failing, release=release))
        return str(frames_of(shown(api, event_id))[-1]["filename"])

    assert source_of("old@1.0").endswith("rates.ts")
    assert source_of("old@0.9") == URL


def test_a_map_that_comes_late_is_used_when_the_event_is_looked_at(
    sentry_cli: SentryCli, sender: Sender, shop: Build, api: httpx.Client
) -> None:
    event_id = sender.event(**event_at(URL, *shop.failing, release="late@1.0"))
    assert frames_of(shown(api, event_id))[-1]["filename"] == URL
    uploaded(sentry_cli, shop.script.parent, "--release", "late@1.0", "--url-prefix", "~/static")
    thrower = frames_of(shown(api, event_id))[-1]
    assert (thrower["function"], thrower["lineno"]) == ("convert", 6)
