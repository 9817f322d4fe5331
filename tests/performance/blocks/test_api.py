"""Blocks over HTTP: made, listed page by page, lifted; refused with a reason where they make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from opsbook.core.settings import Settings
from tests.conftest import ADMIN_TOKEN
from tests.serving import serving

BLOCKS = "/api/admin/address-blocks"


@pytest.fixture(autouse=True)
def _none_left(database: psycopg.Connection) -> None:
    database.execute("delete from address_blocks")


@pytest.fixture
def behind_a_proxy(settings: Settings) -> Iterator[httpx.Client]:
    """A client that calls through a trusted proxy, from 203.0.113.7."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "X-Forwarded-For": "203.0.113.7"}
    trusting = settings.model_copy(update={"trusted_proxies": "127.0.0.1, 10.0.0.0/8"})
    with serving(trusting) as address, httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        yield client


def block(client: httpx.Client, *networks: str, **fields: Any) -> dict[str, Any]:
    answer = client.post(BLOCKS, json={"networks": networks, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(client: httpx.Client, **query: Any) -> list[str]:
    answer = client.get(BLOCKS, params=query)
    assert answer.status_code == 200, answer.text
    return [each["network"] for each in answer.json()]


def test_a_block_is_made_changed_and_lifted(api: httpx.Client, database: psycopg.Connection) -> None:
    assert block(api, "203.0.113.0/24", "2001:db8::/48", reason="scraping", for_seconds=60) == {
        "added": 2,
        "changed": 0,
        "unchanged": 0,
    }
    assert block(api, "203.0.113.0/24", "198.51.100.7")["changed"] == 1
    assert block(api, "198.51.100.7") == {"added": 0, "changed": 0, "unchanged": 1}
    shown = api.get(BLOCKS, params={"address": "203.0.113.7"}).json()
    assert [(each["reason"], each["expires_at"], each["hits"], each["created_by"]) for each in shown] == [
        ("", None, 0, "ADMIN_TOKEN")
    ]
    gone = api.delete(BLOCKS, params={"network": ["203.0.113.0/24", "198.51.100.7"], "reason": "a customer"})
    assert gone.json() == {"removed": 2}
    assert listed(api) == ["2001:db8::/48"]
    row = database.execute("select actor, reason from security_audit order by id desc limit 1").fetchone()
    assert row == ("ADMIN_TOKEN", "a customer")


def test_lists_go_page_by_page(api: httpx.Client) -> None:
    block(api, *(f"203.0.{n}.0/24" for n in range(25)), reason="a list")
    block(api, "198.51.100.0/24", reason="Another")
    seen: list[str] = []
    while page := listed(api, limit=10, **({"after": seen[-1]} if seen else {})):
        seen += page
    assert len(seen) == len(set(seen)) == 26
    assert listed(api, text="ANOTHER") == ["198.51.100.0/24"]
    assert listed(api, address="203.0.7.9") == ["203.0.7.0/24"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"networks": ["203.0.113.7/24"]}, "203.0.113.0/24 is that network"),
        ({"networks": ["0.0.0.0/0"]}, "too wide"),
        ({"networks": []}, "networks"),
        ({"networks": ["203.0.113.0/24"], "for_seconds": 0}, "for_seconds"),
        ({"networks": ["203.0.113.0/24"], "expires_at": "2001-01-01T00:00:00Z"}, "over already"),
        ({"networks": ["203.0.113.0/24"], "expires_at": "2099-01-01T00:00:00Z", "for_seconds": 5}, "one end"),
        ({"networks": ["203.0.113.0/24"], "until": "tomorrow"}, "until"),
    ],
)
def test_what_makes_no_sense_is_refused(api: httpx.Client, body: dict[str, Any], told: str) -> None:
    answer = api.post(BLOCKS, json=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_a_query_that_makes_no_sense_is_refused(api: httpx.Client) -> None:
    assert api.get(BLOCKS, params={"after": "nowhere"}).status_code == 422
    assert api.get(BLOCKS, params={"address": "203.0.113.0/24"}).status_code == 422
    assert api.delete(BLOCKS).status_code == 422
    missing = api.delete(BLOCKS, params={"network": "203.0.113.0/24"})
    assert missing.status_code == 404
    assert "block list --address" in missing.json()["detail"]


@pytest.mark.parametrize("network", ["203.0.113.0/24", "127.0.0.0/8", "10.1.2.0/24"])
def test_nobody_blocks_itself_who_does_not_say_it_twice(behind_a_proxy: httpx.Client, network: str) -> None:
    """Itself as the proxy tells it, this machine, and the proxy."""
    refused = behind_a_proxy.post(BLOCKS, json={"networks": [network]})
    assert (refused.status_code, refused.json()["title"]) == (409, "This would lock you out")
    assert listed(behind_a_proxy) == []
    block(behind_a_proxy, network, even_mine=True)
    assert listed(behind_a_proxy) == [network]


def test_nobody_blocks_another_operator_by_mistake(api: httpx.Client, database: psycopg.Connection) -> None:
    database.execute("insert into operators (email, name, role) values ('her@example.org', 'Her', 'admin')")
    database.execute(
        "insert into operator_sessions (token_hash, operator_id, expires_at, ip)"
        " select sha256('x'), id, now() + interval '1 day', '192.0.2.9' from operators where email = 'her@example.org'"
    )
    answer = api.post(BLOCKS, json={"networks": ["192.0.2.0/24"]})
    assert answer.status_code == 409
    assert "192.0.2.9" in answer.json()["detail"]


def test_a_viewer_looks_and_does_not_touch(api: httpx.Client, anonymous: httpx.Client) -> None:
    made = api.post("/api/admin/tokens", json={"name": "viewer", "role": "viewer"}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert anonymous.get(BLOCKS, headers=headers).status_code == 200
    assert anonymous.post(BLOCKS, headers=headers, json={"networks": ["203.0.113.0/24"]}).status_code == 403
    assert anonymous.delete(BLOCKS, headers=headers, params={"network": "203.0.113.0/24"}).status_code == 403
    assert anonymous.get(BLOCKS).status_code == 401
