"""Barring somebody leaves them no way back: not by a link, not by a session, and their tokens are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from opsbook.core.access.links import create_sign_in_link
from tests.access.test_sessions import is_waiting
from tests.upping import until
from tests.web.person import Person, invitation_in, text_of

Invite = Callable[[str, str], Person]

MALLORY = "mallory@example.org"


@pytest.fixture(scope="module")
def mallory(invite: Invite) -> Person:
    """An admin who is not to be one for long."""
    return invite("admin", MALLORY)


def number_of(database: psycopg.Connection, email: str) -> int:
    row = database.execute("select id from operators where email = %s", (email,)).fetchone()
    assert row is not None
    return row[0]


def bar(owner: Person, number: int, *, barred: bool = True) -> httpx.Response:
    answer = owner.submit(f"/ops/access/operators/{number}/disabled", disabled=str(barred).lower())
    assert answer.status_code == 303
    return owner.get(answer.headers["location"])


def test_barring_ends_the_links_made_by_and_for_that_person(
    owner: Person, mallory: Person, database: psycopg.Connection
) -> None:
    number = number_of(database, MALLORY)
    by_them = invitation_in(mallory.submit("/ops/access/invitations", role="admin"))
    for_them = invitation_in(owner.submit(f"/ops/access/operators/{number}/link"))
    by_another = invitation_in(owner.submit("/ops/access/invitations", role="viewer"))
    bar(owner, number)
    bar(owner, number, barred=False)
    statuses = [
        Person(owner.server).get(f"/ops/sign-in?link={secret}").status_code
        for secret in (by_them, for_them, by_another)
    ]
    assert statuses == [404, 404, 200]
    browser = Person(owner.server)
    for path, secret in (("/ops/sign-in/link", for_them), ("/ops/welcome", by_them)):
        fields = {"link": secret, "email": "accomplice@example.org", "password": "correct horse battery staple"}
        assert browser.submit(path, page="/ops/sign-in", **fields).status_code == 404


def test_a_demoted_admin_keeps_no_invitation(owner: Person, invite: Invite, database: psycopg.Connection) -> None:
    demoted = invite("admin", "demoted@example.org")
    secret = invitation_in(demoted.submit("/ops/access/invitations", role="admin"))
    owner.submit(f"/ops/access/operators/{number_of(database, 'demoted@example.org')}/role", role="viewer")
    assert Person(owner.server).get(f"/ops/sign-in?link={secret}").status_code == 404


def test_who_is_barred_by_sql_gets_in_by_no_link(owner: Person, invite: Invite, database: psycopg.Connection) -> None:
    invite("viewer", "by-sql@example.org")
    number = number_of(database, "by-sql@example.org")
    secret = invitation_in(owner.submit(f"/ops/access/operators/{number}/link"))
    database.execute("update operators set disabled_at = now() where id = %s", (number,))
    browser = Person(owner.server)
    assert browser.get(f"/ops/sign-in?link={secret}").status_code == 404
    assert browser.submit("/ops/sign-in/link", page="/ops/sign-in", link=secret).status_code == 404


def test_barring_names_the_tokens_made_by_that_person_and_by_those_tokens(
    owner: Person, invite: Invite, database: psycopg.Connection
) -> None:
    maker = invite("admin", "maker@example.org")
    made = re.search(r"opsb_\w{49}", maker.submit("/ops/access/tokens", name="first-hand", role="admin").text)
    assert made is not None
    bearer = {"Authorization": f"Bearer {made[0]}"}
    second = httpx.post(f"{owner.server}/api/admin/tokens", headers=bearer, json={"name": "second-hand"})
    assert second.status_code == 201
    owner.submit("/ops/access/tokens", name="unrelated", role="viewer")
    notice = bar(owner, number_of(database, "maker@example.org")).text.partition('id="people"')[0]
    assert [name in notice for name in ("first-hand", "second-hand", "unrelated")] == [True, True, False]
    revoke = re.findall(r"/ops/access/tokens/\d+/revoke", notice)
    assert len(revoke) == 2
    assert owner.submit(revoke[0]).status_code == 303


def test_a_pending_link_is_listed_and_ended(owner: Person, invite: Invite, ops_url: str) -> None:
    operator = invite("operator", "onlooker@example.org")
    create_sign_in_link(ops_url)
    page = owner.get("/ops/access").text.partition('id="links"')[2].partition("</section>")[0]
    assert "owner@example.org" in page
    ending = re.findall(r"/ops/access/links/\d+/end", page)
    assert ending
    assert operator.submit(ending[0]).status_code == 403
    for path in ending:
        assert owner.submit(path).status_code == 303
    assert owner.submit(ending[0]).status_code == 404
    assert "No link waits" in text_of(owner.get("/ops/access"))
    assert not re.search(r"/ops/access/links/\d+/end", operator.get("/ops/access").text)


def test_nobody_makes_a_link_for_themselves(owner: Person, database: psycopg.Connection) -> None:
    own = number_of(database, "owner@example.org")
    assert owner.submit(f"/ops/access/operators/{own}/link").status_code == 403


def test_a_link_used_while_its_person_is_being_barred_lets_nobody_in(
    owner: Person, invite: Invite, ops_url: str, database: psycopg.Connection
) -> None:
    invite("viewer", "racing@example.org")
    number = number_of(database, "racing@example.org")
    secret = invitation_in(owner.submit(f"/ops/access/operators/{number}/link"))
    browser = Person(owner.server)
    form: dict[str, object] = {"csrf_token": browser.token("/ops/sign-in"), "link": secret}
    with psycopg.connect(ops_url) as other, ThreadPoolExecutor(1) as thread:
        other.execute("update operators set disabled_at = now() where id = %s", (number,))
        answer = thread.submit(browser.post, "/ops/sign-in/link", form)
        until(lambda: answer.done() or is_waiting(database), 5)
        other.commit()
        assert answer.result().status_code == 401
    database.execute("update operators set disabled_at = null where id = %s", (number,))
    assert browser.get("/ops/access").status_code == 303
