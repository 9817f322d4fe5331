"""The audit page, its export, and who may come in."""

from __future__ import annotations

import csv
import io
import json
import re

import httpx
import psycopg
import pytest

from tests.web.person import Person, text_of

FLAGS = "/api/admin/feature-flags"


def ids(page: httpx.Response) -> list[int]:
    return [int(each) for each in re.findall(r'<tr data-row="(\d+)">', page.text)]


def test_the_audit_is_narrowed_by_every_field(owner: Person, api: httpx.Client, database: psycopg.Connection) -> None:
    api.post(FLAGS, json={"name": "audited", "reason": "needle in here"})
    database.execute("update feature_flags set enabled = true where name = 'audited'")
    assert len(ids(owner.get("/ops/audit?target=audited"))) == 2
    assert len(ids(owner.get("/ops/audit?target=audited&action=flag.change"))) == 1
    assert len(ids(owner.get("/ops/audit?target=audited&actor=ADMIN_TOKEN"))) == 1
    assert len(ids(owner.get("/ops/audit?q=needle+in"))) == 1
    assert len(ids(owner.get("/ops/audit?target=audited&success=no"))) == 0
    assert len(ids(owner.get("/ops/audit?target=audited&until=2001-01-01T00:00"))) == 0
    assert len(ids(owner.get("/ops/audit?target=audited&since=2001-01-01T00:00"))) == 2


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "before=x", "before=9999999999999999999", "before=-1", "before=१", "before=" + "0" * 5000],
)
def test_a_malformed_filter_is_told(owner: Person, query: str) -> None:
    assert owner.get(f"/ops/audit?{query}").status_code == 422


@pytest.mark.parametrize(
    "query", ["q=%00", "actor=%25_%5C", "within=forever", "success=perhaps", "target=" + "x" * 5000]
)
def test_an_odd_filter_finds_nothing_odd(owner: Person, query: str) -> None:
    assert owner.get(f"/ops/audit?{query}").status_code == 200


def test_paging_reaches_every_record_once(owner: Person, database: psycopg.Connection) -> None:
    database.execute("insert into feature_flags (name) select 'page-' || n from generate_series(1, 120) n")
    seen: list[int] = []
    path = "/ops/audit?q=page-"
    while path:
        page = owner.get(path)
        seen += ids(page)
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 120
    assert seen == sorted(seen, reverse=True)


def test_the_export_holds_what_the_filter_shows_and_is_itself_recorded(owner: Person, api: httpx.Client) -> None:
    api.post(FLAGS, json={"name": "exported", "reason": "=1+1"})
    table = list(csv.DictReader(io.StringIO(owner.get("/ops/audit/export?format=csv&target=exported").text)))
    assert [row["reason"] for row in table] == ["'=1+1"]
    lines = owner.get("/ops/audit/export?format=jsonl&target=exported").text.splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["=1+1"]
    assert json.loads(lines[0])["after"]["name"] == "exported"
    assert len(ids(owner.get("/ops/audit?action=audit.export"))) >= 2


def test_the_export_reads_on_beyond_a_page(owner: Person, database: psycopg.Connection) -> None:
    database.execute("insert into feature_flags (name) select 'many-' || n from generate_series(1, 2500) n")
    lines = owner.get("/ops/audit/export?format=jsonl&q=many-&action=flag.create").text.splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 2500


def test_a_token_is_shown_once_works_and_ends(owner: Person, server: str) -> None:
    made = owner.submit("/ops/access/tokens", name="pipeline", role="operator", scopes=["flags:read"], days="30")
    secret = re.search(r"opsb_\w{49}", made.text)
    assert secret is not None
    assert made.headers["cache-control"] == "no-store"
    bearer = {"Authorization": f"Bearer {secret[0]}"}
    assert httpx.get(server + FLAGS, headers=bearer).status_code == 200
    assert httpx.post(server + FLAGS, headers=bearer, json={"name": "scoped"}).status_code == 403
    page = owner.get("/ops/access")
    assert secret[0] not in page.text
    number = re.search(r"/ops/access/tokens/(\d+)/revoke", page.text)
    assert number is not None
    owner.submit(f"/ops/access/tokens/{number[1]}/revoke")
    assert httpx.get(server + FLAGS, headers=bearer).status_code == 401


def test_an_unknown_scope_widens_nothing(owner: Person) -> None:
    refused = owner.submit("/ops/access/tokens", name="odd", role="viewer", scopes=["everything"], days="30")
    assert refused.status_code == 422
    assert "opsb_" not in refused.text


def test_a_person_is_barred_and_their_session_ends(owner: Person, viewer: Person) -> None:
    number = _number_of(owner, "viewer@example.org")
    assert owner.submit(f"/ops/access/operators/{number}/disabled", disabled="true").status_code == 303
    assert viewer.get("/ops").status_code == 303
    owner.submit(f"/ops/access/operators/{number}/disabled", disabled="false")


def test_the_last_admin_stays(owner: Person) -> None:
    number = 1
    refused = owner.submit(f"/ops/access/operators/{number}/disabled", disabled="true")
    assert refused.status_code == 409
    assert "last admin" in text_of(refused)


def test_an_operator_ends_their_own_session_but_no_admins_one(operator: Person, owner: Person) -> None:
    sessions = re.findall(r"/ops/access/sessions/(\d+)/revoke", owner.get("/ops/access").text)
    mine = re.findall(r"/ops/access/sessions/(\d+)/revoke", operator.get("/ops/access").text)
    others = set(sessions) - set(mine)
    assert mine
    assert others
    for number in others:
        assert operator.submit(f"/ops/access/sessions/{number}/revoke").status_code == 404
    for path in ("/ops/access/invitations", "/ops/access/tokens"):
        assert operator.submit(path, role="admin", name="x").status_code == 403
    assert operator.submit(f"/ops/access/sessions/{mine[0]}/revoke").status_code == 303
    assert operator.get("/ops").status_code == 303


def _number_of(owner: Person, email: str) -> str:
    row = next(part for part in owner.get("/ops/access").text.split("<tr ") if f"{email}</span>" in part)
    found = re.search(r"operators/(\d+)/", row)
    assert found is not None
    return found[1]
