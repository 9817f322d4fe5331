"""Sign-up, sign-in, sign-out: over HTTP, with hostile and simultaneous callers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

PASSWORD = "correct horse battery staple"


def test_signing_up_signs_in_and_me_says_who(sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    assert ada.client.get("/api/auth/me").json() == {"id": ada.id, "email": ada.email, "session_id": ada.session_id}


def test_an_address_is_the_same_in_any_case(service: httpx.Client, sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    body = {"email": ada.email.upper(), "password": PASSWORD}
    assert service.post("/api/auth/sign-up", json=body).status_code == 409
    assert service.post("/api/auth/sign-in", json=body).json()["user"]["id"] == ada.id


def test_of_many_signing_up_with_one_address_at_once_one_succeeds(service: httpx.Client) -> None:
    body = {"email": "rush@example.org", "password": PASSWORD}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: service.post("/api/auth/sign-up", json=body).status_code, range(6)))
    assert sorted(answers) == [201, 409, 409, 409, 409, 409]


def test_passwords_are_kept_as_argon2id_hashes(service_url: str, sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    with psycopg.connect(service_url) as connection:
        query = "select encrypted_password, last_sign_in_at is not null from auth.users where id = %s"
        password_hash, seen = connection.execute(query, [ada.id]).fetchone() or ("", False)
    assert password_hash.startswith("$argon2id$")
    assert seen


@pytest.mark.parametrize("email", ["known", "unknown@example.org"])
def test_a_wrong_password_and_an_unknown_address_look_alike(
    service: httpx.Client, sign_up: Callable[[], Any], email: str
) -> None:
    email = sign_up().email if email == "known" else email
    answer = service.post("/api/auth/sign-in", json={"email": email, "password": "wrong"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "E-mail address or password is wrong."


def test_a_banned_person_cannot_sign_in(service: httpx.Client, service_url: str, sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    with psycopg.connect(service_url) as connection:
        connection.execute("update auth.users set banned_until = now() + interval '1 day' where id = %s", [ada.id])
    assert service.post("/api/auth/sign-in", json={"email": ada.email, "password": PASSWORD}).status_code == 401


@pytest.mark.parametrize("column", ["banned_until = now() + interval '1 day'", "deleted_at = now()"])
def test_who_is_banned_or_deleted_is_out_at_once(service_url: str, sign_up: Callable[[], Any], column: str) -> None:
    ada = sign_up()
    assert ada.client.get("/api/auth/me").status_code == 200
    with psycopg.connect(service_url) as connection:
        connection.execute(f"update auth.users set {column} where id = %s".encode(), [ada.id])
    assert ada.client.get("/api/auth/me").status_code == 401
    assert ada.record({"type": "visit"}).status_code == 401


def test_a_session_is_refused_after_sign_out_and_others_stay(service: httpx.Client, sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    other = service.post("/api/auth/sign-in", json={"email": ada.email, "password": PASSWORD}).json()["access_token"]
    assert ada.client.post("/api/auth/sign-out").status_code == 204
    assert ada.client.get("/api/auth/me").status_code == 401
    shown = service.get("/api/sessions", headers={"authorization": f"Bearer {other}"}).json()["sessions"]
    assert [(one["current"], one["revoked_at"] is not None) for one in shown] == [(True, False), (False, True)]


def test_a_deleted_account_is_signed_out_and_its_rows_are_gone(service_url: str, sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    ada.record({"type": "visit"})
    with psycopg.connect(service_url) as connection:
        connection.execute("delete from auth.users where id = %s", [ada.id])
        left = connection.execute(
            "select (select count(*) from events where user_id = %(id)s)"
            " + (select count(*) from sessions where user_id = %(id)s)",
            {"id": ada.id},
        ).fetchone()
    assert left == (0,)
    assert ada.client.get("/api/auth/me").status_code == 401


def forged(ada: Any, **changes: object) -> str:
    """A token with a valid form that the service did not sign."""
    soon = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    claims = {"sub": ada.id, "aud": "authenticated", "email": ada.email, "session_id": ada.session_id, "exp": soon}
    return jwt.encode({"alg": "HS256"}, {**claims, **changes}, OctKey.import_key("another key, of thirty-two bytes."))


def test_tokens_that_the_service_did_not_give_are_refused(service: httpx.Client, sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    real = ada.client.headers["authorization"].removeprefix("Bearer ")
    unsigned = "eyJhbGciOiJub25lIn0." + real.split(".")[1] + "."
    for token in [forged(ada), unsigned, real[:-2], real + "x", ".", "..", "a.b.c", "\xff\xfe", "x" * 8000]:
        answer = service.get("/api/auth/me", headers=[(b"authorization", b"Bearer " + token.encode("latin-1"))])
        assert answer.status_code == 401, token
        assert answer.headers["www-authenticate"] == "Bearer"
    assert service.get("/api/auth/me").status_code == 401


def test_tokens_expire(start_service: Callable[..., httpx.Client]) -> None:
    service = start_service(SESSION_LIFETIME_SECONDS="0")
    body = {"email": "brief@example.org", "password": PASSWORD}
    token = service.post("/api/auth/sign-up", json=body).json()["access_token"]
    assert service.get("/api/auth/me", headers={"authorization": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"email": "a@b.c"}',
        b'{"email": "no address", "password": "correct horse battery"}',
        b'{"email": "a\\u0000@b.c", "password": "correct horse battery"}',
        b'{"email": "a\\ud800@b.c", "password": "correct horse battery"}',
        b'{"email": "a@b.c", "password": "short"}',
        b'{"email": "a@b.c", "password": "correct horse \\udfff"}',
        b'{"email": "a@b.c", "password": "' + b"x" * 300 + b'"}',
        b'{"email": "a@b.c", "password": "correct horse battery", "role": "service_role"}',
        b'{"email": ["a@b.c"], "password": {"correct": "horse"}}',
        b'{"\\ud800": "\\ud800"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"email": ' + b"9" * 5000 + b"}",
    ],
)
def test_malformed_sign_ups_are_refused_without_repeating_the_password(service: httpx.Client, body: bytes) -> None:
    answer = service.post("/api/auth/sign-up", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "horse" not in answer.text


def test_what_a_client_says_about_itself_is_bounded(service: httpx.Client, sign_up: Callable[[], Any]) -> None:
    ada = sign_up()
    headers = [(b"user-agent", b"\xff" * 5000), (b"x-forwarded-for", b"not an address")]
    body = {"email": ada.email, "password": PASSWORD}
    assert service.post("/api/auth/sign-in", json=body, headers=headers).status_code == 200
    newest = ada.client.get("/api/sessions").json()["sessions"][0]
    assert len(newest["user_agent"]) == 500


def test_password_hashing_leaves_room_for_everything_else(service: httpx.Client) -> None:
    body = {"email": "nobody@example.org", "password": PASSWORD}
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: service.post("/api/auth/sign-in", json=body), range(30)))
    assert {answer.status_code for answer in answers} <= {401, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
