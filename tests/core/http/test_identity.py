"""Bearer tokens: who gets in, who does not, and that a refusal is immediate and never a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from opsbook import install
from opsbook.core.settings import Settings
from tests.conftest import ADMIN_TOKEN
from tests.serving import serving

FLAGS = "/api/admin/feature-flags"
TOKENS = "/api/admin/tokens"

Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def make(api: httpx.Client) -> Make:
    """Make a token by the API; gives what it answers."""

    def making(name: str, **fields: object) -> dict[str, Any]:
        answer = api.post(TOKENS, json={"name": name, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    return making


@pytest.fixture
def call(anonymous: httpx.Client) -> Callable[..., httpx.Response]:
    """Call with a token."""

    def calling(secret: str, path: str = FLAGS, method: str = "GET", **given: Any) -> httpx.Response:
        return anonymous.request(method, path, headers={"Authorization": f"Bearer {secret}"}, **given)

    return calling


def test_a_token_does_what_its_role_may(make: Make, call: Callable[..., httpx.Response]) -> None:
    viewer, operator = (make(role, role=role)["token"] for role in ("viewer", "operator"))
    flag = {"name": "roles", "enabled": True}
    assert call(viewer).status_code == 200
    assert call(viewer, method="POST", json=flag).status_code == 403
    assert call(operator, method="POST", json=flag).status_code == 201
    assert call(operator, TOKENS).status_code == 403
    assert call(viewer, "/api/admin/audit").status_code == 200  # as on the console: a viewer sees all but secrets


def test_a_token_does_what_its_scopes_say(make: Make, call: Callable[..., httpx.Response]) -> None:
    flag = {"name": "scopes", "enabled": True}
    reader = make("reader", role="admin", scopes=["flags:read"])["token"]
    assert call(reader).status_code == 200
    for path, method, body in ((FLAGS, "POST", flag), (TOKENS, "GET", None), ("/api/admin/audit", "GET", None)):
        answer = call(reader, path, method, json=body)
        assert answer.status_code == 403
        assert "scope" in answer.json()["detail"]
    both = make("both", role="operator", scopes=["flags:*"])["token"]
    assert call(both, method="POST", json=flag).status_code == 201


@pytest.mark.parametrize(
    "ending",
    [
        "update api_tokens set revoked_at = now() where name = %s",
        "update api_tokens set expires_at = now() where name = %s",
        "delete from api_tokens where name = %s",
    ],
)
def test_sql_ends_a_token_at_once(
    make: Make, call: Callable[..., httpx.Response], database: psycopg.Connection, ending: str
) -> None:
    secret = make("ended by sql")["token"]
    assert call(secret).status_code == 200
    database.execute(ending.encode(), ("ended by sql",))
    assert call(secret).status_code == 401
    found = database.execute("select target, actor_kind from security_audit order by id desc limit 1").fetchone()
    assert found == ("ended by sql", "sql")


def test_revoking_ends_that_token_alone_and_at_once(
    make: Make, api: httpx.Client, call: Callable[..., httpx.Response]
) -> None:
    ended = make("ended")
    namesake = make(str(ended["id"]))["token"]  # named as the other one's id
    assert api.delete(f"{TOKENS}/{ended['id']}").status_code == 204
    answer = call(ended["token"])
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "revoked" in answer.json()["detail"]
    assert call(namesake).status_code == 200
    assert api.delete(f"{TOKENS}/{ended['id']}").status_code == 404


def test_a_tokens_text_is_shown_once(make: Make, api: httpx.Client, database: psycopg.Connection) -> None:
    secret = make("shown once")["token"]
    assert secret not in api.get(TOKENS).text
    for table in ("api_tokens", "security_audit"):
        found = database.execute(f"select count(*) from {table} t where t::text like %s".encode(), (f"%{secret}%",))
        assert found.fetchone() == (0,)


def test_a_flipped_character_is_no_token(make: Make, call: Callable[..., httpx.Response]) -> None:
    secret = make("flipped")["token"]
    flipped = secret[:20] + ("A" if secret[20] != "A" else "B") + secret[21:]
    answer = call(flipped)
    assert answer.status_code == 401
    assert "mistyped" in answer.json()["detail"]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer",
        b"Basic YWRtaW46YWRtaW4=",
        ADMIN_TOKEN.encode(),
        f"Bearer {ADMIN_TOKEN}x".encode(),
        f"Bearer {ADMIN_TOKEN[:-1]}".encode(),
        b"Bearer \xe9\xff\x80",
        "Bearer tökén 🚀".encode(),
        b"Bearer opsb_" + b"0" * 49,
        b"Bearer " + b"x" * 8000,
        b"\xff" * 20,
    ],
)
def test_any_other_credential_is_refused(anonymous: httpx.Client, header: bytes) -> None:
    answer = anonymous.get(FLAGS, headers={b"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert ADMIN_TOKEN not in answer.text


def test_the_api_heeds_no_cookie(anonymous: httpx.Client) -> None:
    assert anonymous.get(FLAGS, headers={"Cookie": f"__Host-opsbook={ADMIN_TOKEN}"}).status_code == 401


@pytest.mark.anyio
async def test_a_zone_in_the_callers_address_refuses_no_write(settings: Settings, database: psycopg.Connection) -> None:
    """Postgres' inet takes fe80::1, but not the fe80::1%eth0 that a link-local neighbour calls from."""
    service = FastAPI()
    book = install(service, settings=settings)
    transport = httpx.ASGITransport(book.app, client=("fe80::1%eth0", 4321))
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        assert (await client.post(FLAGS, json={"name": "zoned"}, headers=headers)).status_code == 201
    recorded = database.execute("select distinct host(ip) from security_audit where target = 'zoned'").fetchall()
    assert recorded == [("fe80::1",)]


def test_the_audit_names_the_caller_behind_a_trusted_proxy(settings: Settings, database: psycopg.Connection) -> None:
    behind = settings.model_copy(update={"trusted_proxies": "127.0.0.1"})
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "X-Forwarded-For": "192.0.2.1, 203.0.113.7"}
    with serving(behind) as address:
        httpx.post(f"{address}{FLAGS}", json={"name": "proxied"}, headers=headers).raise_for_status()
    recorded = database.execute("select distinct host(ip) from security_audit where target = 'proxied'").fetchall()
    assert recorded == [("203.0.113.7",)]
