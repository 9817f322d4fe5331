"""Chromium on the module's server, with people signed in; a page's errors fail its test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from opsbook.core.access.links import create_sign_in_link

AXE = Path(__file__).parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
_PATIENCE_MILLISECONDS = 15_000
_PASSWORD = "correct horse battery staple"

NewPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A module's Chromium, unsandboxed since tests may run as root; playwright holds this thread's event loop."""
    expect.set_options(timeout=_PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        chromium = _launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def first_link(ops_url: str) -> str:
    """The secret of the link that `opsbook up` prints; made before the browser takes the event loop."""
    return create_sign_in_link(ops_url)


@pytest.fixture(scope="module")
def signed_in_state(first_link: str, browser: Browser, server: str) -> dict[str, object]:
    """The cookies of the owner, who came in by the first link and chose a password."""
    context = browser.new_context(base_url=server)
    page = context.new_page()
    page.goto(f"/ops/sign-in?link={first_link}")
    page.get_by_label("E-mail").fill("owner@example.org")
    page.get_by_label("Password").fill(_PASSWORD)
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url("**/ops")
    state = context.storage_state()
    context.close()
    return dict(state)


@pytest.fixture
def new_page(signed_in_state: dict[str, object], browser: Browser, server: str) -> Iterator[NewPage]:
    """Opens a browser of its own, signed in; whatever it logs as an error fails the test."""
    contexts = []
    errors: list[str] = []

    def opened(path: str = "/ops", **options: object) -> Page:
        context = browser.new_context(base_url=server, storage_state=signed_in_state, **options)  # pyright: ignore
        context.set_default_timeout(_PATIENCE_MILLISECONDS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if _is_defect(message) else None)
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def _is_defect(message: object) -> bool:
    """An error of ours; a refused form's 4xx, which the browser logs too, is none."""
    text = getattr(message, "text", "")
    return getattr(message, "type", "") == "error" and "Failed to load resource" not in text


def _launch(playwright: Playwright) -> Browser:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
