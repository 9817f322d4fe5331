"""What every page has in common."""

from __future__ import annotations

import re

import httpx
import psycopg
import pytest

from tests.web.person import Person, text_of

PAGES = [
    "/ops",
    "/ops/flags",
    "/ops/flags/-/new",
    "/ops/audit",
    "/ops/access",
    "/ops/access/password",
    "/ops/database/pool",
    "/ops/performance",
    "/ops/performance/blocks",
    "/ops/performance/cache",
    "/ops/performance/limits",
    "/ops/search?q=a",
]


@pytest.mark.parametrize("path", [*PAGES, "/ops/sign-in", "/ops/nowhere"])
def test_a_page_allows_nothing_foreign_and_nothing_inline(owner: Person, path: str) -> None:
    browser = Person(owner.server) if path == "/ops/sign-in" else owner
    page = browser.get(path)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(
        r"<script(?![^>]*\ssrc=\"/ops/static/)|<style|\sstyle=|\son\w+=|https?://(?!www\.w3\.org)", page.text
    )


def test_navigation_leads_to_the_chapters_that_have_a_page(owner: Person) -> None:
    page = owner.get("/ops/flags").text
    links = re.findall(r'<a href="(/ops[^"]*)" data-go="(\w)"( aria-current="page")?', page)
    assert [path for path, _, _ in links] == [
        *("/ops", "/ops/database/pool", "/ops/flags", "/ops/errors", "/ops/performance", "/ops/access", "/ops/audit")
    ]
    assert [path for path, _, current in links if current] == ["/ops/flags"]
    assert len({key for _, key, _ in links}) == len(links)


@pytest.mark.parametrize("path", ["/ops/errors", "/ops/logs", "/ops/check-ins", "/ops/check-ins/new", "/ops/users"])
def test_each_page_of_a_chapter_lies_under_the_chapters_entry(owner: Person, path: str) -> None:
    current = re.findall(r'<a href="(/ops[^"]*)" data-go="\w" aria-current="page"', owner.get(path).text)
    assert current == ["/ops/errors"]


def test_static_files_are_kept_for_a_year_under_an_address_of_their_content(owner: Person) -> None:
    address = re.search(r'href="(/ops/static/[^"]+style\.css)"', owner.get("/ops").text)
    assert address is not None
    sheet = httpx.get(owner.server + address[1])
    assert sheet.headers["content-type"].startswith("text/css")
    assert "immutable" in sheet.headers["cache-control"]
    unchanged = httpx.get(owner.server + address[1], headers={"If-None-Match": sheet.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    stale = httpx.get(f"{owner.server}/ops/static/0000/style.css")
    assert stale.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["nothing.css", "..%2Fpages%2Flayout.html", "%00"])
def test_no_other_file_is_served(server: str, name: str) -> None:
    assert httpx.get(f"{server}/ops/static/x/{name}").status_code == 404


def test_an_error_is_a_page_for_a_browser_and_a_problem_for_a_program(owner: Person) -> None:
    page = owner.get("/ops/flags/never-was")
    assert page.status_code == 404
    assert "there never was a flag 'never-was'" in text_of(page)
    assert page.headers["x-request-id"] in page.text
    problem = owner.get("/ops/flags/never-was", Accept="application/json")
    assert problem.headers["content-type"] == "application/problem+json"


def test_light_or_dark_is_remembered_without_scripts(owner: Person) -> None:
    chosen = owner.submit("/ops/theme", theme="dark", back="/ops/flags")
    assert chosen.headers["location"] == "/ops/flags"
    assert '<html lang="en" data-theme="dark">' in owner.get("/ops/flags").text
    owner.submit("/ops/theme", theme="light", back="https://evil.example")
    assert '<html lang="en" data-theme="light">' in owner.get("/ops/flags").text


def test_search_finds_pages_flags_and_people(owner: Person, operator: Person, api: httpx.Client) -> None:
    api.post("/api/admin/feature-flags", json={"name": "search-me", "description": "<b>bold</b>"})
    assert 'href="/ops/flags/search-me"' in owner.get("/ops/search?q=search-m").text
    assert "operator@example.org" in text_of(owner.get("/ops/search?q=operator%40"))
    assert "Nothing found" in text_of(owner.get("/ops/search?q=%00%25zz"))


def test_overview_tells_health_concerns_and_what_happened(owner: Person, api: httpx.Client) -> None:
    api.post("/api/admin/feature-flags", json={"name": "broken", "kill_switch": True, "reason": "it <hurts>"})
    page = owner.get("/ops")
    shown = text_of(page)
    assert "Service database" in shown
    assert "broken is killed" in shown
    assert "ADMIN_TOKEN created flag broken" in shown
    assert "it &lt;hurts&gt;" in page.text


def test_live_events_name_the_topic_that_changed(owner: Person, database: psycopg.Connection) -> None:
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in owner.cookies.items())}
    with httpx.stream("GET", f"{owner.server}/ops/live", headers=headers, timeout=15) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: health"
        database.execute("insert into feature_flags (name) values ('heard')")
        events = (line for line in lines if line.startswith("event:") and line != "event: health")
        assert {next(events), next(events)} == {"event: flags", "event: audit"}


def test_live_events_are_for_people_who_are_signed_in(server: str) -> None:
    assert httpx.get(f"{server}/ops/live").text == "event: signed-out\ndata: \n\n"
