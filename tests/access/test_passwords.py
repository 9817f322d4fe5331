"""Changing a password takes the one before it; inviting links are looked at before a password is hashed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import psycopg
import pytest

from tests.web.person import PASSWORD, Person, invitation_in, text_of

PAGE = "/ops/access/password"
ANOTHER = "another long password"
ALLOWED_FAILURES = 10

pytestmark = pytest.mark.anyio

Invite = Callable[[str, str], Person]


def test_a_new_password_takes_the_current_one(invite: Invite, database: psycopg.Connection) -> None:
    person = invite("operator", "careful@example.org")
    assert 'name="current"' in person.get(PAGE).text
    for wrong in ({}, {"current": ""}, {"current": "a wrong password"}, {"current": ANOTHER}):
        refused = person.submit(PAGE, password=ANOTHER, **wrong)
        assert refused.status_code == 403
        assert "not your current password" in text_of(refused)
    refusal = database.execute("select action, success from security_audit order by id desc limit 1").fetchone()
    assert refusal == ("password.refused", False)
    assert person.submit(PAGE, password=ANOTHER, current=PASSWORD).status_code == 303
    assert person.get("/ops").status_code == 303


def test_guessing_the_current_password_ends(invite: Invite) -> None:
    person = invite("operator", "guessed@example.org")
    for _ in range(ALLOWED_FAILURES):
        assert person.submit(PAGE, password=ANOTHER, current="a guess of theirs").status_code == 403
    assert person.submit(PAGE, password=ANOTHER, current=PASSWORD).status_code == 429
    elsewhere = Person(person.server)
    assert sign_in(elsewhere, "guessed@example.org", PASSWORD).status_code == 303  # the thief's guesses lock the thief


def test_who_has_none_yet_is_asked_for_none(invite: Invite, database: psycopg.Connection) -> None:
    person = invite("operator", "without@example.org")
    database.execute("update operators set password_hash = null where email = 'without@example.org'")
    assert 'name="current"' not in person.get(PAGE).text
    assert person.submit(PAGE, password=ANOTHER).status_code == 303


def test_who_forgot_it_and_came_by_a_link_is_asked_for_none_for_a_while(
    owner: Person, invite: Invite, database: psycopg.Connection
) -> None:
    invite("operator", "forgetful@example.org")
    person = Person(owner.server)
    row = database.execute("select id from operators where email = 'forgetful@example.org'").fetchone()
    assert row is not None
    secret = invitation_in(owner.submit(f"/ops/access/operators/{row[0]}/link"))
    person.submit("/ops/sign-in/link", page=f"/ops/sign-in?link={secret}", link=secret)
    aged = "update operator_sessions set created_at = created_at %s interval '15 minutes' where by_link"
    database.execute((aged % "-").encode())
    assert person.submit(PAGE, password=ANOTHER).status_code == 403
    database.execute((aged % "+").encode())
    assert person.submit(PAGE, password=ANOTHER).status_code == 303
    assert sign_in(Person(owner.server), "forgetful@example.org", ANOTHER).status_code == 303


def test_a_new_password_ends_the_links_of_that_person(
    owner: Person, invite: Invite, database: psycopg.Connection
) -> None:
    person = invite("admin", "robbed@example.org")
    row = database.execute("select id from operators where email = 'robbed@example.org'").fetchone()
    assert row is not None
    secrets = [
        invitation_in(owner.submit(f"/ops/access/operators/{row[0]}/link")),
        invitation_in(person.submit("/ops/access/invitations", role="admin")),
    ]
    person.submit(PAGE, password=ANOTHER, current=PASSWORD)
    assert [Person(owner.server).get(f"/ops/sign-in?link={secret}").status_code for secret in secrets] == [404, 404]


async def test_dead_links_take_no_place_in_the_queue(owner: Person) -> None:
    fields = {"csrf_token": owner.token("/ops/search"), "email": "x@example.org", "password": PASSWORD, "link": "dead"}
    cookies = "; ".join(f"{name}={value}" for name, value in owner.cookies.items())
    async with httpx.AsyncClient(base_url=owner.server, timeout=60, headers={"Cookie": cookies}) as client:
        answers = await asyncio.gather(*(client.post("/ops/welcome", data=fields) for _ in range(40)))
    assert {answer.status_code for answer in answers} == {404}


def sign_in(browser: Person, email: str, password: str) -> httpx.Response:
    return browser.submit("/ops/sign-in", page="/ops/sign-in", email=email, password=password)
