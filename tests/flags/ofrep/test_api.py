"""OFREP over HTTP: values, reasons, every error, conditional requests, who may ask, browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from opsbook.core.settings import Settings
from tests.conftest import ADMIN_TOKEN
from tests.flags.helpers import create, until
from tests.flags.test_stream import dead_url
from tests.serving import serving

BULK = "/ofrep/v1/evaluate/flags"
SOMEBODY = {"targetingKey": "user-1", "plan": "pro"}

NewToken = Callable[..., str]


@pytest.fixture(scope="module")
def flags(database: psycopg.Connection, api: httpx.Client) -> None:
    """One flag of each kind that a client can meet, known to the server."""
    create(database, "on")
    create(database, "off", enabled=False)
    create(database, "killed", kill_switch=True)
    create(database, "half", rollout_percentage=50)
    create(database, "text", value_type="string", variants=Jsonb([{"name": "blue", "value": "#00f"}]))
    create(database, "text-off", value_type="string", enabled=False)
    create(database, "object", value_type="object", variants=Jsonb([{"name": "large", "value": {"size": [1, 2]}}]))
    create(database, "größe ✓".replace(" ", "_"))
    rule = {"name": "paying", "constraints": [{"field": "plan", "operator": "in", "values": ["pro"]}]}
    create(database, "targeted", rollout_percentage=0, rules=Jsonb([rule]))
    until(lambda: one(api, "targeted").status_code == 200, 5)


@pytest.fixture
def new_token(api: httpx.Client) -> NewToken:
    def making(*scopes: str) -> str:
        answer = api.post("/api/admin/tokens", json={"name": "ofrep", "role": "viewer", "scopes": scopes})
        assert answer.status_code == 201, answer.text
        return answer.json()["token"]

    return making


def one(client: httpx.Client, key: str, context: object = None, **given: Any) -> httpx.Response:
    return client.post(f"{BULK}/{key}", json={"context": SOMEBODY if context is None else context}, **given)


def bulk(client: httpx.Client, context: object = None, **given: Any) -> httpx.Response:
    return client.post(BULK, json={"context": SOMEBODY if context is None else context}, **given)


def by_key(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return {flag["key"]: flag for flag in answer.json()["flags"]}


@pytest.mark.usefixtures("flags")
class TestOneFlag:
    """POST /ofrep/v1/evaluate/flags/{key}."""

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("on", {"value": True, "reason": "STATIC", "variant": "on"}),
            ("off", {"value": False, "reason": "DISABLED", "variant": "off"}),
            ("targeted", {"value": True, "reason": "TARGETING_MATCH", "variant": "on"}),
            ("text", {"value": "#00f", "variant": "blue"}),
            ("object", {"value": {"size": [1, 2]}, "variant": "large"}),
            ("gr%C3%B6%C3%9Fe_%E2%9C%93", {"value": True, "key": "größe_✓"}),
        ],
    )
    def test_value_reason_and_variant(self, api: httpx.Client, key: str, expected: dict[str, object]) -> None:
        answer = one(api, key)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert expected.items() <= answer.json().items()

    def test_the_value_of_an_off_flag_that_is_not_boolean_is_left_to_the_caller(self, api: httpx.Client) -> None:
        answer = one(api, "text-off").json()
        assert "value" not in answer
        assert (answer["reason"], answer["variant"]) == ("DISABLED", "off")

    def test_metadata_says_the_revision_and_a_kill(self, api: httpx.Client) -> None:
        assert one(api, "on").json()["metadata"].keys() == {"revision"}
        assert one(api, "killed").json()["metadata"]["killed"] is True

    @pytest.mark.parametrize("key", ["no-such-flag", "a%2Fb", "a/b/c", "%00", "x" * 3000])
    def test_an_unknown_flag(self, api: httpx.Client, key: str) -> None:
        answer = one(api, key)
        assert answer.status_code == 404
        assert answer.json()["errorCode"] == "FLAG_NOT_FOUND"
        assert answer.json()["errorDetails"]

    def test_a_percentage_has_nothing_to_stick_to(self, api: httpx.Client) -> None:
        answer = one(api, "half", {})
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "TARGETING_KEY_MISSING")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"{", "PARSE_ERROR"),
            (b"\xff\xfe", "PARSE_ERROR"),
            (b"[]", "PARSE_ERROR"),
            (b"7", "PARSE_ERROR"),
            (b'{"context":' + b"[" * 100_000, "PARSE_ERROR"),
            (b'{"context": []}', "INVALID_CONTEXT"),
            (b'{"context": "user-1"}', "INVALID_CONTEXT"),
            (b'{"context": {"targetingKey": {}}}', "INVALID_CONTEXT"),
            (b'{"context": {"targetingKey": ["user-1"]}}', "INVALID_CONTEXT"),
        ],
    )
    @pytest.mark.parametrize("path", [BULK, f"{BULK}/half"])
    def test_a_malformed_request(self, api: httpx.Client, path: str, body: bytes, code: str) -> None:
        answer = api.post(path, content=body)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
        assert ("key" in answer.json()) == (path != BULK)

    @pytest.mark.parametrize(
        "context",
        [
            b'{"targetingKey": "\\ud800"}',
            b'{"targetingKey": "user-1", "plan": {"deep": [[[[{}]]]]}}',
            b'{"targetingKey": 17, "plan": ' + b"9" * 4000 + b"}",
            b'{"targetingKey": "user-1", "plan": 1e308}',
            b'{"targetingKey": null}',
            b'{"targetingKey": "\\u0000\\u202e", "constructor": "__proto__"}',
        ],
    )
    @pytest.mark.parametrize("path", [BULK, f"{BULK}/half", f"{BULK}/targeted"])
    def test_a_hostile_context_is_answered_or_refused(self, api: httpx.Client, path: str, context: bytes) -> None:
        answer = api.post(path, content=b'{"context": %b}' % context)
        assert answer.status_code in {200, 400}, answer.text
        assert answer.headers["content-type"] == "application/json"

    @pytest.mark.parametrize("body", [b"", b"{}", b'{"context": null}', b'{"context": {}, "other": 1}'])
    def test_no_context_is_an_empty_one(self, api: httpx.Client, body: bytes) -> None:
        assert api.post(f"{BULK}/on", content=body).json()["value"] is True

    def test_too_large_a_request(self, api: httpx.Client) -> None:
        assert api.post(f"{BULK}/on", content=b" " * 2_000_000).status_code == 413


@pytest.mark.usefixtures("flags")
class TestEveryFlag:
    """POST /ofrep/v1/evaluate/flags."""

    def test_each_flag_is_as_it_is_alone(self, api: httpx.Client) -> None:
        for key, flag in by_key(bulk(api)).items():
            assert one(api, key).json() == flag

    def test_a_flag_without_an_answer_takes_no_other_along(self, api: httpx.Client) -> None:
        flags = by_key(bulk(api, {}))
        assert flags["half"]["errorCode"] == "TARGETING_KEY_MISSING"
        assert flags["on"]["value"] is True

    def test_the_same_context_gets_not_modified(self, api: httpx.Client) -> None:
        tag = bulk(api).headers["etag"]
        for held in (tag, f"W/{tag}", f'"other", {tag}'):
            again = api.post(BULK, json={"context": dict(reversed(SOMEBODY.items()))}, headers={"If-None-Match": held})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)

    def test_another_context_gets_its_own_answer(self, api: httpx.Client) -> None:
        tag = bulk(api).headers["etag"]
        for other in ({**SOMEBODY, "plan": "free"}, {**SOMEBODY, "unheeded": 1}, {}):
            answer = bulk(api, other, headers={"If-None-Match": tag})
            assert answer.status_code == 200
            assert answer.headers["etag"] != tag

    def test_a_change_ends_not_modified(self, api: httpx.Client, database: psycopg.Connection) -> None:
        create(database, "changing")
        until(lambda: "changing" in by_key(bulk(api)), 5)
        held = {"If-None-Match": bulk(api).headers["etag"]}
        assert bulk(api, headers=held).status_code == 304
        database.execute("update feature_flags set kill_switch = true where name = 'changing'")
        until(lambda: bulk(api, headers=held).status_code == 200, 2)
        assert by_key(bulk(api, headers=held))["changing"]["value"] is False

    def test_the_revision_that_an_event_told_is_waited_for(
        self, api: httpx.Client, database: psycopg.Connection
    ) -> None:
        """The event may have been another process's, which is ahead of the one that answers."""
        for _ in range(5):
            create_row = "insert into feature_flags (name, enabled) values ('waited', true) returning revision"
            row = database.execute(create_row.encode()).fetchone()
            assert row is not None
            assert "waited" in by_key(bulk(api, params={"flagConfigEtag": f'"{row[0]}"'}))
            database.execute("delete from feature_flags where name = 'waited'")

    @pytest.mark.parametrize("told", ['"999999999999"', "999", "garbage", "", "9" * 500, '"²"'])
    def test_a_revision_that_never_comes_is_not_waited_for_long(self, api: httpx.Client, told: str) -> None:
        answer = bulk(api, params={"flagConfigEtag": told, "flagConfigLastModified": "1771622898"})
        assert answer.status_code == 200
        assert answer.elapsed.total_seconds() < 2


@pytest.mark.usefixtures("flags")
class TestWhoMayAsk:
    """Credentials."""

    @pytest.mark.parametrize("scope", ["flags:evaluate", "flags:read", "flags:*", "*"])
    @pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
    def test_a_token_in_either_header(
        self, anonymous: httpx.Client, new_token: NewToken, scope: str, header: str
    ) -> None:
        token = new_token(scope)
        headers = {header: f"Bearer {token}" if header == "Authorization" else token}
        assert one(anonymous, "on", headers=headers).json()["value"] is True
        assert "on" in by_key(bulk(anonymous, headers=headers))

    @pytest.mark.parametrize("scope", ["flags:write", "audit:read", "access:*"])
    def test_a_token_for_something_else(self, anonymous: httpx.Client, api: httpx.Client, scope: str) -> None:
        made = api.post("/api/admin/tokens", json={"name": "other", "role": "admin", "scopes": [scope]}).json()
        headers = {"X-API-Key": made["token"]}
        assert one(anonymous, "on", headers=headers).status_code == 403
        assert bulk(anonymous, headers=headers).status_code == 403

    def test_one_who_may_evaluate_may_not_see_rules(self, anonymous: httpx.Client, new_token: NewToken) -> None:
        headers = {"Authorization": f"Bearer {new_token('flags:evaluate')}"}
        for path in ("/api/admin/feature-flags", "/api/flags/stream"):
            assert anonymous.get(path, headers=headers).status_code == 403

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "x" * 600}],
    )
    def test_a_stranger(self, anonymous: httpx.Client, headers: dict[str, str]) -> None:
        for answer in (one(anonymous, "on", headers=headers), bulk(anonymous, headers=headers)):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"

    def test_a_revoked_token_ends_within_a_moment(
        self, anonymous: httpx.Client, new_token: NewToken, database: psycopg.Connection
    ) -> None:
        headers = {"X-API-Key": new_token("flags:evaluate")}
        assert one(anonymous, "on", headers=headers).status_code == 200
        database.execute("update api_tokens set revoked_at = now() where name = 'ofrep'")
        until(lambda: one(anonymous, "on", headers=headers).status_code == 401, 1)

    def test_an_expiring_token_is_not_remembered_beyond_its_end(
        self, anonymous: httpx.Client, new_token: NewToken, database: psycopg.Connection
    ) -> None:
        headers = {"X-API-Key": new_token("flags:evaluate")}
        database.execute(
            "update api_tokens set expires_at = now() + interval '1 second' where name = 'ofrep' and revoked_at is null"
        )
        until(lambda: one(anonymous, "on", headers=headers).status_code == 401, 2.5)


@pytest.mark.usefixtures("flags")
class TestBrowsers:
    """Cross-origin requests."""

    ORIGIN = "https://shop.example"

    @pytest.mark.parametrize("path", [BULK, f"{BULK}/on"])
    def test_a_preflight_needs_no_token(self, anonymous: httpx.Client, path: str) -> None:
        asked = {
            "Origin": self.ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,if-none-match,x-api-key",
        }
        answer = anonymous.options(path, headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"].replace(" ", "").lower().split(",")
        assert {"authorization", "content-type", "if-none-match", "x-api-key"} <= set(allowed)
        assert "access-control-allow-credentials" not in answer.headers

    def test_answers_and_refusals_can_be_read(self, api: httpx.Client, anonymous: httpx.Client) -> None:
        origin = {"Origin": self.ORIGIN}
        for answer in (bulk(api, headers=origin), one(api, "none", headers=origin), bulk(anonymous, headers=origin)):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "ETag" in answer.headers["access-control-expose-headers"]

    def test_the_levers_stay_closed(self, api: httpx.Client) -> None:
        answer = api.get("/api/admin/feature-flags", headers={"Origin": self.ORIGIN})
        assert "access-control-allow-origin" not in answer.headers


@pytest.fixture
def unheard(settings: Settings, tmp_path: Path) -> Iterator[httpx.Client]:
    """A server that has never reached its database."""
    lost = settings.model_copy(update={"ops_database_url": dead_url(settings), "home": tmp_path})
    headers = {"X-API-Key": ADMIN_TOKEN}
    with serving(lost) as address, httpx.Client(base_url=address, headers=headers, timeout=10) as client:
        yield client


def test_a_server_that_knows_no_flags_does_not_call_them_missing(unheard: httpx.Client) -> None:
    for answer in (one(unheard, "on"), bulk(unheard)):
        assert answer.status_code == 500
        assert answer.json()["errorCode"] == "GENERAL"
