"""Webhooks by plain forms: added with a secret shown once, tested, removed; by admins alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from opsbook.core.settings import Settings
from tests.flags.receiver import Receiver
from tests.serving import serving
from tests.web.person import Person, text_of

PAGE = "/ops/flags/-/webhooks"
API = "/api/admin/flag-webhooks"


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[str]:
    """A control plane that may post to this machine."""
    with serving(settings.model_copy(update={"webhooks_to_loopback": True})) as address:
        yield address


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def add(owner: Person, url: str, topic: object = "flags") -> tuple[int, str]:
    """A new webhook by the form; its number and the secret that the page shows."""
    shown = owner.submit(PAGE, url=url, topic=topic)
    assert shown.status_code == 200, text_of(shown)
    found = re.search(r"Secret of webhook (\d+).*?(whsec_[A-Za-z0-9+/=]+)", shown.text, re.DOTALL)
    assert found is not None, text_of(shown)
    return int(found[1]), found[2]


def test_its_secret_is_shown_once(owner: Person, database: psycopg.Connection) -> None:
    number, secret = add(owner, "https://example.com/once", ["flags", "segments"])
    listed = owner.get(PAGE)
    assert "https://example.com/once" in text_of(listed)
    for page in (listed, owner.get(f"{PAGE}/{number}"), owner.get("/ops/audit")):
        assert secret not in page.text
    row = database.execute("select secret, topics from webhooks where id = %s", [number]).fetchone()
    assert row == (secret, ["flags", "segments"])


def test_a_test_says_what_came_of_it(owner: Person, receiver: Receiver, database: psycopg.Connection) -> None:
    number, _ = add(owner, receiver.url)
    arrived = owner.submit(f"{PAGE}/{number}/test")
    assert "Test delivered: status 204" in text_of(arrived)
    ((headers, body),) = receiver.got
    assert b'"topic":"test"' in body
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= headers.keys()
    receiver.status = 500
    assert "Test refused: status 500" in text_of(owner.submit(f"{PAGE}/{number}/test"))
    kept = database.execute(
        "select actor, success from security_audit where action = 'webhook.test' and target = %s order by id",
        [str(number)],
    ).fetchall()
    assert kept == [("owner@example.org", True), ("owner@example.org", False)]


def test_what_is_no_address_comes_back_with_the_reason(owner: Person, api: httpx.Client) -> None:
    before = len(api.get(API).json())
    for fields in ({"url": "ftp://example.com", "topic": "flags"}, {"url": "https://example.com", "topic": "gossip"}):
        refused = owner.submit(PAGE, **fields)
        assert (refused.status_code, 'role="alert"' in refused.text) == (422, True)
        assert f'value="{fields["url"]}"' in refused.text
    assert owner.submit(PAGE, url="https://example.com").status_code == 422, "of nothing"
    assert len(api.get(API).json()) == before


def test_a_removal_is_confirmed_and_told(owner: Person, api: httpx.Client) -> None:
    number, _ = add(owner, "https://example.com/gone")
    assert f"Remove webhook {number}?" in text_of(owner.get(f"{PAGE}/{number}/remove"))
    gone = owner.submit(f"{PAGE}/{number}/remove", reason="moved")
    assert f"Webhook {number} is removed" in text_of(owner.get(gone.headers["location"]))
    assert number not in [each["id"] for each in api.get(API).json()]
    assert owner.get(f"{PAGE}/{number}").status_code == 404
    assert owner.submit(f"{PAGE}/{number}/test").status_code == 404


def test_only_admins_decide_who_is_told(owner: Person, operator: Person, viewer: Person) -> None:
    number, _ = add(owner, "https://example.com/admins")
    for person in (operator, viewer):
        page = person.get(f"{PAGE}/{number}")
        assert "https://example.com/admins" in text_of(page)
        assert "<form" not in page.text.partition("<main")[2].partition("</main")[0]
        for path in ("", f"/{number}/test", f"/{number}/remove"):
            assert person.submit(PAGE + path, url="https://example.com/sly", topic="flags").status_code == 403


def test_the_api_adds_tests_and_removes(api: httpx.Client, receiver: Receiver) -> None:
    made = api.post(API, json={"url": receiver.url, "topics": ["segments"]})
    assert (made.status_code, made.json()["secret"].startswith("whsec_")) == (201, True)
    number = made.json()["id"]
    (listed,) = [each for each in api.get(API).json() if each["id"] == number]
    assert (listed["url"], listed["topics"], "secret" in listed) == (receiver.url, ["segments"], False)
    tested = api.post(f"{API}/{number}/test").json()
    assert (tested["delivered"], tested["status"]) == (True, 204)
    assert api.get(f"{API}/{number}/attempts").json() == [], "a test is none of the deliveries"
    assert api.delete(f"{API}/{number}").status_code == 204
    assert api.get(f"{API}/{number}/attempts").status_code == 404
    for wrong in (
        {"url": "file:///etc/passwd"},
        {"url": "https://u:p@example.com"},
        {"url": "https://a", "topics": []},
    ):
        assert api.post(API, json=wrong).status_code == 422


def test_an_operators_token_decides_nothing(api: httpx.Client, server: str) -> None:
    token = api.post("/api/admin/tokens", json={"name": "pipeline", "role": "operator"}).json()["token"]
    with httpx.Client(base_url=server, headers={"Authorization": f"Bearer {token}"}) as pipeline:
        assert pipeline.get(API).status_code == 200
        assert pipeline.post(API, json={"url": "https://example.com"}).status_code == 403
