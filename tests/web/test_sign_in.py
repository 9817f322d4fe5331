"""Coming in and going out, as a browser without scripts does."""

from __future__ import annotations

import re

import httpx
import psycopg
import pytest

from opsbook.core.access.links import create_sign_in_link
from tests.web.person import PASSWORD, Person, invitation_in, text_of


def test_a_stranger_is_sent_to_sign_in_and_comes_back_to_the_page(server: str, owner: Person) -> None:
    stranger = Person(server)
    sent = stranger.get("/ops/audit?actor=ada")
    assert sent.status_code == 303
    assert sent.headers["location"] == "/ops/sign-in?next=/ops/audit%3Factor%3Dada"
    page = stranger.get(sent.headers["location"])
    assert 'name="next" value="/ops/audit?actor=ada"' in page.text
    signed = stranger.submit(
        "/ops/sign-in", page="/ops/sign-in", email="OWNER@example.org", password=PASSWORD, next="/ops/audit?actor=ada"
    )
    assert signed.headers["location"] == "/ops/audit?actor=ada"
    assert stranger.get("/ops/audit").status_code == 200


def test_the_session_cookie_is_out_of_reach_of_scripts_other_hosts_and_plain_http(server: str, owner: Person) -> None:
    stranger = Person(server)
    signed = stranger.submit("/ops/sign-in", page="/ops/sign-in", email="owner@example.org", password=PASSWORD)
    session = next(each for each in signed.headers.get_list("set-cookie") if each.startswith("__Host-opsbook="))
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= {part.strip() for part in session.split(";")}


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/opsx", "/ops/\r\nX: y", "javascript:1"],
)
def test_signing_in_never_leads_to_another_site(server: str, owner: Person, elsewhere: str) -> None:
    signed = Person(server).submit(
        "/ops/sign-in", page="/ops/sign-in", email="owner@example.org", password=PASSWORD, next=elsewhere
    )
    assert signed.headers["location"] == "/ops"


def test_a_wrong_password_says_so_and_keeps_the_address(server: str, owner: Person) -> None:
    refused = Person(server).submit("/ops/sign-in", page="/ops/sign-in", email="nobody@example.org", password="wrong")
    assert refused.status_code == 401
    assert "do not belong together" in text_of(refused)
    assert 'value="nobody@example.org"' in refused.text
    assert "set-cookie" not in refused.headers


def test_opening_a_link_does_not_use_it_up_but_signing_in_does(server: str, ops_url: str, owner: Person) -> None:
    secret = create_sign_in_link(ops_url)
    browser = Person(server)
    for _ in range(2):  # a chat program's preview, then the person
        assert "Continue as owner@example.org" in text_of(browser.get(f"/ops/sign-in?link={secret}"))
    page = f"/ops/sign-in?link={secret}"
    assert browser.submit("/ops/sign-in/link", page=page, link=secret).status_code == 303
    assert browser.get("/ops").status_code == 200
    again = Person(server).get(page)
    assert again.status_code == 404
    assert "opsbook link" in text_of(again)


def test_an_invitation_refuses_a_short_password_and_can_be_tried_again(server: str, owner: Person) -> None:
    secret = invitation_in(owner.submit("/ops/access/invitations", role="viewer"))
    newcomer, page = Person(server), f"/ops/sign-in?link={secret}"
    refused = newcomer.submit("/ops/welcome", page=page, link=secret, email="new@example.org", password="short")
    assert refused.status_code == 422
    assert "12 to 1024 characters" in text_of(refused)
    assert "short" not in re.findall(r'value="([^"]*)"', refused.text)
    newcomer.join(secret, "new@example.org")
    assert newcomer.get("/ops").status_code == 200


def test_a_session_ends_with_signing_out(server: str, owner: Person) -> None:
    browser = Person(server)
    browser.submit("/ops/sign-in", page="/ops/sign-in", email="owner@example.org", password=PASSWORD)
    kept = dict(browser.cookies)
    assert browser.submit("/ops/sign-out").status_code == 303
    assert Person(server, kept).get("/ops").status_code == 303
    assert kept["__Host-opsbook"]


def test_a_form_without_its_token_or_from_another_site_is_refused(owner: Person, database: psycopg.Connection) -> None:
    token = owner.token("/ops/search")
    stranger_token = Person(owner.server).token("/ops/sign-in")
    for fields, headers in [
        ({}, {}),
        ({"csrf_token": "0" * 64}, {}),
        ({"csrf_token": "ü"}, {}),
        ({"csrf_token": stranger_token}, {}),
        ({"csrf_token": token}, {"Sec-Fetch-Site": "cross-site"}),
    ]:
        refused = owner.post("/ops/flags/-/new", {"name": "forged", "rollout_percentage": "1", **fields}, **headers)
        assert refused.status_code == 403, fields
        assert "<html" in refused.text
    assert database.execute("select count(*) from feature_flags where name = 'forged'").fetchone() == (0,)


def test_a_cookie_opens_no_api_and_a_token_no_page(owner: Person, api: httpx.Client) -> None:
    assert owner.get("/api/admin/feature-flags").status_code == 401
    assert api.get("/ops").status_code == 303


def test_a_person_changes_their_password_and_every_session_ends(server: str, owner: Person) -> None:
    secret = invitation_in(owner.submit("/ops/access/invitations", role="viewer"))
    person = Person(server).join(secret, "changing@example.org")
    changed = person.submit("/ops/access/password", password="another long password", current=PASSWORD)
    assert changed.status_code == 303
    assert person.get("/ops").status_code == 303
    signed = Person(server)
    signed.submit("/ops/sign-in", page="/ops/sign-in", email="changing@example.org", password="another long password")
    assert signed.get("/ops").status_code == 200
