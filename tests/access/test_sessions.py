"""Browser sessions: what ends them, and what a form must carry."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from tests.upping import until
from tests.web.person import PASSWORD, Person, text_of

SESSION = "__Host-opsbook"

Invite = Callable[[str, str], Person]


@pytest.fixture
def person(invite: Invite, request: pytest.FixtureRequest) -> Person:
    """An operator of the test's own."""
    return invite("operator", f"{abs(hash(request.node.name))}@example.org")


def is_signed_in(person: Person) -> bool:
    answer = person.get("/ops/access")
    if answer.status_code == 303:
        assert answer.headers["location"].startswith("/ops/sign-in?next=")
    else:
        assert answer.status_code == 200
    return answer.status_code == 200


def test_signing_out_ends_the_session_even_for_who_kept_the_cookie(person: Person) -> None:
    kept = dict(person.cookies)
    answer = person.submit("/ops/sign-out")
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/ops/sign-in")
    assert person.cookies[SESSION] == ""
    assert not is_signed_in(Person(person.server, kept))


@pytest.mark.parametrize(
    "ending",
    [
        "update operator_sessions set expires_at = now()",
        "update operator_sessions set last_seen_at = now() - interval '3 days'",
        "update operator_sessions set revoked_at = now()",
        "update operators set disabled_at = now()",
    ],
)
def test_a_session_ends(person: Person, database: psycopg.Connection, ending: str) -> None:
    assert is_signed_in(person)
    column = "operator_id" if "sessions" in ending else "id"
    newest = f"{ending} where {column} = (select max(id) from operators)"
    assert database.execute(newest.encode()).rowcount == 1
    assert not is_signed_in(person)


def test_a_new_role_holds_at_once(person: Person, database: psycopg.Connection) -> None:
    database.execute("update operators set role = 'admin' where id = (select max(id) from operators)")
    assert person.submit("/ops/access/invitations", role="viewer").status_code == 200
    database.execute("update operators set role = 'viewer' where id = (select max(id) from operators)")
    assert person.submit("/ops/access/invitations", role="viewer").status_code == 403


def test_a_new_password_ends_every_session(person: Person, database: psycopg.Connection) -> None:
    refused = person.submit("/ops/access/password", password="too short", current=PASSWORD)
    assert refused.status_code == 422
    assert is_signed_in(person)
    person.submit("/ops/access/password", password="another long password", current=PASSWORD)
    assert not is_signed_in(person)
    actions = database.execute("select action from security_audit order by id desc limit 2").fetchall()
    assert ("operator.change_secret",) in actions


@pytest.mark.parametrize("cookie", [b"", b"x", b"x" * 600, "é".encode(), b"\xff\xfe", b"%00", b"' or 1=1 --"])
def test_an_odd_cookie_signs_nobody_in(anonymous: httpx.Client, cookie: bytes) -> None:
    answer = anonymous.get("/ops/access", headers={b"Cookie": SESSION.encode() + b"=" + cookie})
    assert answer.status_code == 303


def test_the_last_admin_stays_an_admin(owner: Person, database: psycopg.Connection) -> None:
    row = database.execute("select id from operators where email = 'owner@example.org'").fetchone()
    assert row is not None
    for path, fields in (("role", {"role": "viewer"}), ("disabled", {"disabled": "true"})):
        answer = owner.submit(f"/ops/access/operators/{row[0]}/{path}", **fields)
        assert answer.status_code == 409
        assert "last admin" in text_of(answer)
    assert is_signed_in(owner)


def test_two_admins_cannot_demote_each_other_at_once(
    owner: Person, invite: Invite, ops_url: str, database: psycopg.Connection
) -> None:
    invite("admin", "rival@example.org")
    rival = database.execute("select id from operators where email = 'rival@example.org'").fetchone()
    assert rival is not None
    form: dict[str, object] = {"csrf_token": owner.token("/ops/search"), "role": "viewer"}
    with psycopg.connect(ops_url) as other, ThreadPoolExecutor(1) as thread:
        other.execute("update operators set role = 'viewer' where email = 'owner@example.org'")
        answer = thread.submit(owner.post, f"/ops/access/operators/{rival[0]}/role", form)
        until(lambda: answer.done() or is_waiting(database), 5)
        other.commit()
        assert answer.result().status_code == 409
    assert database.execute("select email from operators where role = 'admin'").fetchall() == [("rival@example.org",)]
    database.execute("update operators set role = 'admin' where email = 'owner@example.org'")
    database.execute("update operators set role = 'viewer' where email = 'rival@example.org'")


def is_waiting(database: psycopg.Connection) -> bool:
    """Whether somebody waits for a lock on this database."""
    query = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return database.execute(query).fetchone() is not None


@pytest.mark.parametrize("forgery", ["missing", "wrong", "of another session", "not ASCII", "from another site"])
def test_a_forged_form_changes_nothing(
    owner: Person, person: Person, database: psycopg.Connection, forgery: str
) -> None:
    fields: dict[str, object] = {"role": "admin", "csrf_token": owner.token("/ops/search")}
    headers: dict[str, str] = {}
    match forgery:
        case "missing":
            del fields["csrf_token"]
        case "wrong":
            fields["csrf_token"] = "0" * 64
        case "of another session":
            fields["csrf_token"] = person.token("/ops/search")
        case "not ASCII":
            fields["csrf_token"] = "é\0"
        case _:
            headers["Sec-Fetch-Site"] = "cross-site"
    before = database.execute("select count(*) from sign_in_links").fetchone()
    assert owner.post("/ops/access/invitations", fields, **headers).status_code == 403
    assert database.execute("select count(*) from sign_in_links").fetchone() == before
