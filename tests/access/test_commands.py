"""`opsbook token`, `audit` and `link` as they are typed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import httpx
import psycopg
import pytest

from tests.command_line import Typed, opsbook

Call = Callable[..., Typed]


@pytest.fixture
def call(ops_url: str) -> Call:
    """Type a command on the module's ops database."""
    return lambda *arguments: opsbook(*arguments, OPSBOOK_DATABASE_URL=ops_url)


def counts(database: psycopg.Connection) -> object:
    """What any change would move."""
    return database.execute(
        "select (select count(*) from security_audit), (select count(*) from api_tokens where revoked_at is null)"
    ).fetchone()


def test_a_token_is_printed_alone_works_and_ends(call: Call, anonymous: httpx.Client) -> None:
    made = call("token", "create", "ci", "--scope", "flags:read", "--for", "90d")
    assert made.code == 0
    secret = made.out.strip()  # nothing else on standard output: TOKEN=$(opsbook token create ci)
    assert secret.startswith("opsb_")
    assert secret not in made.err
    headers = {"Authorization": f"Bearer {secret}"}
    assert anonymous.get("/api/admin/feature-flags", headers=headers).status_code == 200
    assert call("token", "revoke", "ci", "--yes").code == 0
    assert anonymous.get("/api/admin/feature-flags", headers=headers).status_code == 401


def test_revoking_by_name_ends_all_of_that_name_and_no_other(call: Call) -> None:
    for name in ("twin", "twin", "single"):
        call("token", "create", name)
    typed = call("token", "revoke", "twin", "--yes", "--json")
    assert [token["name"] for token in typed.json["tokens"]] == ["twin", "twin"]
    live = [token["name"] for token in call("token", "list", "--json").json if token["live"]]
    assert "single" in live
    assert "twin" not in live
    assert call("token", "revoke", "twin", "--yes").code == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("token", "revoke", "standing"), 2),  # nobody to ask
        (("token", "revoke", "standing", "--dry-run"), 0),
        (("token", "revoke", "standing", "--dry-run", "--json"), 0),
        (("token", "revoke", "never-made", "--yes"), 3),
        (("token", "create", "x", "--dry-run"), 0),
        (("token", "create", "x", "--role", "king"), 2),
        (("token", "create", "x", "--for", "soon"), 2),
        (("token", "create", " "), 2),
        (("audit", "tail", "--since", "yesterday"), 2),
        (("audit", "tail", "--unknown"), 2),
        (("audit", "no-such-command"), 2),
    ],
)
def test_these_change_nothing(call: Call, database: psycopg.Connection, arguments: tuple[str, ...], code: int) -> None:
    if not database.execute("select from api_tokens where name = 'standing'").rowcount:
        call("token", "create", "standing")
    before = counts(database)
    typed = call(*arguments)
    assert typed.code == code, typed.err
    assert counts(database) == before


def test_tail_shows_the_newest_last_and_filters(call: Call, database: psycopg.Connection) -> None:
    for number in range(3):
        database.execute("select audit('test.tail', 'test', %s, null, null)", (f"tail-{number}",))
    rows = call("audit", "tail", "--action", "test.tail", "-n", "2", "--since", "1h", "--json").json
    assert [row["target"] for row in rows] == ["tail-1", "tail-2"]
    assert call("audit", "tail", "--target", "tail-0", "--json").json[0]["target"] == "tail-0"
    assert call("audit", "tail", "--actor", "nobody", "--json").json == []
    table = call("audit", "tail", "--action", "test.tail").out.splitlines()
    assert ("tail-2" in table[-1], "when" in table[0]) == (True, True)


def test_the_export_has_every_record_in_either_format(call: Call, database: psycopg.Connection) -> None:
    database.execute(
        "select audit('test.export', 'test', '=1+1', null, jsonb_build_object('ä', n)) from generate_series(1, 1500) n"
    )
    lines = call("audit", "export", "--action", "test.export").out.splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert len(ids) == 1500
    assert ids == sorted(set(ids), reverse=True)
    rows = list(csv.DictReader(io.StringIO(call("audit", "export", "--action", "test.export", "--format", "csv").out)))
    assert [int(row["id"]) for row in rows] == ids
    assert rows[0]["target"] == "'=1+1"  # no formula for a spreadsheet to run
    assert json.loads(rows[-1]["after"]) == {"ä": 1}


def test_the_api_filters_and_pages_the_trail(api: httpx.Client, database: psycopg.Connection) -> None:
    for number in range(5):
        database.execute(
            "select audit('test.api', 'kind', %s, null, null, %s, 'because 100%%')", (f"api-{number}", number != 3)
        )
    audit = "/api/admin/audit"
    targets = lambda **query: [row["target"] for row in api.get(audit, params={"action": "test.api", **query}).json()]  # noqa: E731
    assert targets() == ["api-4", "api-3", "api-2", "api-1", "api-0"]
    assert targets(success=False) == ["api-3"]
    assert targets(target="api-2", target_kind="kind", actor="opsbook") == ["api-2"]
    assert targets(text="100%", limit=1) == ["api-4"]
    assert targets(text="100_") == []
    assert targets(until="2020-01-01T00:00:00Z") == []
    assert targets(since="2020-01-01T00:00:00Z", limit=2) == ["api-4", "api-3"]
    newest = api.get(audit, params={"action": "test.api", "limit": 2}).json()
    assert targets(before_id=newest[-1]["id"]) == ["api-2", "api-1", "api-0"]
    for query in ({"limit": 0}, {"limit": 1001}, {"since": "yesterday"}, {"since": "0.5"}, {"before_id": 2**53}):
        assert api.get(audit, params=query).status_code == 422


def test_a_link_is_printed_for_the_address_that_is_known(call: Call, ops_url: str) -> None:
    assert call("link").out.startswith("http://127.0.0.1:8000/ops/sign-in?link=")
    known = opsbook("link", "--json", OPSBOOK_DATABASE_URL=ops_url, OPSBOOK_URL="https://ops.example.org")
    assert known.json["link"].startswith("https://ops.example.org/ops/sign-in?link=")
