"""Signing in: passwords, links, invitations, lock-out; and what none of them gives away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie

import httpx
import psycopg
import pytest

from opsbook.core.access.links import create_sign_in_link
from tests.command_line import opsbook
from tests.web.person import PASSWORD, Person, invitation_in, text_of

SESSION = "__Host-opsbook"
DEVICE = "__Host-opsbook-device"
OWNER = "owner@example.org"
ALLOWED_FAILURES = 10

pytestmark = pytest.mark.anyio

Invite = Callable[[str, str], Person]


def test_a_password_signs_in_and_is_recorded(owner: Person, database: psycopg.Connection) -> None:
    browser = Person(owner.server)
    answer = sign_in(browser, OWNER.upper() + " ", PASSWORD, next="/ops/flags")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops/flags")
    assert browser.get("/ops/access").status_code == 200
    assert newest(database) == ("session.create", OWNER, True)


@pytest.mark.parametrize("email", [OWNER, "nobody@example.org", "not an address", "a" * 2000])
def test_a_wrong_password_is_refused_the_same_for_everybody(
    owner: Person, database: psycopg.Connection, email: str
) -> None:
    browser = Person(owner.server)
    answer = sign_in(browser, email, "a wrong password")
    assert answer.status_code == 401
    assert "do not belong together" in text_of(answer)
    assert SESSION not in browser.cookies
    assert newest(database)[::2] == ("session.refused", False)


@pytest.mark.parametrize("secret", ["p\0q", "x" * 1500])
def test_odd_input_is_refused_not_crashed_on(owner: Person, secret: str) -> None:
    assert sign_in(Person(owner.server), OWNER, secret).status_code == 401
    assert sign_in(Person(owner.server), f"{secret}@example.org", PASSWORD).status_code in (401, 422)


def test_cookies_are_kept_from_scripts_other_sites_and_plain_http(owner: Person) -> None:
    answer = sign_in(Person(owner.server), OWNER, PASSWORD)
    cookies = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        cookies.load(header)
    assert set(cookies) == {SESSION, DEVICE}
    for morsel in cookies.values():
        assert (morsel["secure"], morsel["httponly"], morsel["path"], morsel["samesite"], morsel["domain"]) == (
            *(True, True, "/", "lax"),
            "",
        )


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.example", "https://evil.example", "\\\\evil.example", "/\\evil.example", "/ops/../..//evil.example\t"],
)
def test_it_leads_to_no_other_site(owner: Person, elsewhere: str) -> None:
    answer = sign_in(Person(owner.server), OWNER, PASSWORD, next=elsewhere)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")
    already = owner.get("/ops/sign-in?" + str(httpx.QueryParams(next=elsewhere)))
    assert (already.status_code, already.headers["location"]) == (303, "/ops")


def test_strangers_lock_themselves_out_and_not_the_owner(
    owner: Person, invite: Invite, ops_url: str, database: psycopg.Connection
) -> None:
    target = invite("operator", "target@example.org")
    for _ in range(ALLOWED_FAILURES):
        assert sign_in(Person(owner.server), "target@example.org", "a guess of theirs").status_code == 401
    stranger = sign_in(Person(owner.server), "target@example.org", PASSWORD)
    assert stranger.status_code == 429
    assert int(stranger.headers["retry-after"]) == 15 * 60

    known = Person(owner.server, {DEVICE: target.cookies[DEVICE]})
    assert sign_in(known, "target@example.org", PASSWORD).status_code == 303
    someone_elses = Person(owner.server, {DEVICE: owner.cookies[DEVICE]})
    assert sign_in(someone_elses, "target@example.org", PASSWORD).status_code == 429
    database.execute("update sign_in_failures set created_at = created_at - interval '15 minutes'")
    assert sign_in(Person(owner.server), "target@example.org", PASSWORD).status_code == 303


def test_who_is_locked_out_gets_in_by_a_link_from_the_machine(
    owner: Person, ops_url: str, database: psycopg.Connection
) -> None:
    for _ in range(ALLOWED_FAILURES):
        sign_in(Person(owner.server), OWNER, "a guess of theirs")
    assert sign_in(Person(owner.server), OWNER, PASSWORD).status_code == 429
    link = opsbook("link", "--json", OPSBOOK_DATABASE_URL=ops_url).json["link"]
    browser = Person(owner.server)
    assert follow(browser, link.rpartition("link=")[2]).status_code == 303
    assert browser.get("/ops/access").status_code == 200
    assert newest(database)[1] == OWNER
    database.execute("delete from sign_in_failures")


async def test_a_flood_of_sign_ins_is_told_to_come_back(owner: Person) -> None:
    browser = Person(owner.server)
    token = browser.token("/ops/sign-in")
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=owner.server, timeout=60, limits=limits) as client:

        async def attempt(number: int) -> httpx.Response:
            fields = {"csrf_token": token, "email": f"{number}@example.org", "password": "any at all"}
            return await client.post("/ops/sign-in", data=fields)

        answers = await asyncio.gather(*(attempt(number) for number in range(60)))
    assert {answer.status_code for answer in answers} == {401, 429}
    assert {answer.headers.get("retry-after") for answer in answers if answer.status_code == 429} == {"5"}


def test_a_link_is_used_by_posting_it_and_once(owner: Person, ops_url: str) -> None:
    secret = create_sign_in_link(ops_url)
    for _ in range(2):
        shown = Person(owner.server).get(f"/ops/sign-in?link={secret}")
        assert shown.status_code == 200
        assert OWNER in text_of(shown)
    browser = Person(owner.server)
    assert follow(browser, secret).status_code == 303
    assert browser.get("/ops/access").status_code == 200
    again = Person(owner.server)
    token = again.token("/ops/sign-in")
    assert again.post("/ops/sign-in/link", {"csrf_token": token, "link": secret}).status_code == 404
    assert again.get(f"/ops/sign-in?link={secret}").status_code == 404
    assert SESSION not in again.cookies


def test_a_link_used_by_two_at_once_lets_one_in(owner: Person, ops_url: str) -> None:
    secret = create_sign_in_link(ops_url)
    fields: dict[str, object] = {"csrf_token": Person(owner.server).token("/ops/sign-in"), "link": secret}
    with ThreadPoolExecutor(6) as crowd:
        answers = crowd.map(lambda _: Person(owner.server).post("/ops/sign-in/link", fields), range(6))
    assert sorted(answer.status_code for answer in answers) == [303, *[404] * 5]


def test_an_expired_link_is_refused(owner: Person, ops_url: str, database: psycopg.Connection) -> None:
    secret = create_sign_in_link(ops_url)
    database.execute("update sign_in_links set expires_at = now() where used_at is null")
    assert Person(owner.server).get(f"/ops/sign-in?link={secret}").status_code == 404
    browser = Person(owner.server)
    fields: dict[str, object] = {"csrf_token": browser.token("/ops/sign-in"), "link": secret}
    assert browser.post("/ops/sign-in/link", fields).status_code == 404


def test_an_invitation_makes_the_person_once(owner: Person, database: psycopg.Connection) -> None:
    secret = invitation_in(owner.submit("/ops/access/invitations", role="viewer"))
    guest = Person(owner.server)
    page = f"/ops/sign-in?link={secret}"
    for wrong, status in (({"password": "too short"}, 422), ({"email": "no address"}, 422), ({"email": OWNER}, 409)):
        fields = {"link": secret, "email": "guest@example.org", "password": PASSWORD, "name": "Guest"} | wrong
        assert guest.submit("/ops/welcome", page=page, **fields).status_code == status
    by_link = guest.submit("/ops/sign-in/link", page=page, link=secret)
    assert by_link.status_code == 422  # it names nobody who could be signed in
    guest.join(page, "Guest@example.org")
    row = database.execute("select email, role from operators where email = 'guest@example.org'").fetchone()
    assert row == ("guest@example.org", "viewer")
    assert Person(owner.server).get(page).status_code == 404
    assert newest(database)[1] == "guest@example.org"


def test_before_there_is_an_owner_the_link_makes_one(new_ops_database: Callable[[], str]) -> None:
    url = new_ops_database()
    create_sign_in_link(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("select operator_id, role from sign_in_links").fetchall() == [(None, "admin")]


def sign_in(browser: Person, email: str, password: str, **fields: object) -> httpx.Response:
    return browser.submit("/ops/sign-in", page="/ops/sign-in", email=email, password=password, **fields)


def follow(browser: Person, secret: str) -> httpx.Response:
    return browser.submit("/ops/sign-in/link", page=f"/ops/sign-in?link={secret}", link=secret)


def newest(database: psycopg.Connection) -> tuple[str, str, bool]:
    """Action, and by whom and whether it succeeded, of the newest record."""
    found = database.execute("select action, actor, success from security_audit order by id desc limit 1").fetchone()
    assert found is not None
    return found
