"""Errors over HTTP: problem details with a request id, whatever is asked and however."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from opsbook.core.postgres.cluster import EmbeddedPostgres

FLAGS = "/api/admin/feature-flags"
UNAVAILABLE_WITHIN_SECONDS = 5


def problem(answer: httpx.Response) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == answer.status_code
    assert found["request_id"] == answer.headers["x-request-id"]
    assert found["title"]
    assert found["detail"]
    return found


@pytest.mark.parametrize(
    "path", ["/nothing", "/ops2", "/api/admin/nothing", "/api/admin", "/api/cron/none", "/ofrep/x"]
)
def test_an_unknown_path_is_a_problem(api: httpx.Client, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 404
    problem(answer)


@pytest.mark.parametrize("method", ["PUT", "TRACE", "OPTIONS", "HEAD"])
def test_another_method_is_a_problem_that_names_the_right_ones(api: httpx.Client, method: str) -> None:
    answer = api.request(method, "/api/admin/audit")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    if method != "HEAD":
        problem(answer)


@pytest.mark.parametrize("given", ["deploy-2031:step.4", "0123456789abcdef0123456789abcdef"])
def test_a_well_formed_request_id_is_kept(api: httpx.Client, given: str) -> None:
    answer = api.get(f"{FLAGS}/none", headers={"X-Request-ID": given})
    assert problem(answer)["request_id"] == given


@pytest.mark.parametrize("given", [b"short", b"x" * 129, b"with space", b"a\tSet-Cookie: b=c", b'quote"s', b"\xe9" * 9])
def test_any_other_request_id_is_replaced(api: httpx.Client, given: bytes) -> None:
    answer = api.get(f"{FLAGS}/none", headers={b"X-Request-ID": given})
    fresh = str(problem(answer)["request_id"])
    assert len(fresh) == 32
    assert int(fresh, 16)
    assert "set-cookie" not in answer.headers


def test_a_problem_says_where_the_input_is_wrong(api: httpx.Client) -> None:
    answer = api.post(FLAGS, json={"name": "x", "rollout_percentage": 101, "no/such~field": 1})
    errors = problem(answer)["errors"]
    assert isinstance(errors, list)
    assert {error["pointer"] for error in errors} == {"#/rollout_percentage", "#/no~1such~0field"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "\\ud800"}',
        b'{"name": "x", "\\ud800": 1}',
        b'{"name": "x", "owner": "\\udfff"}',
        b"\xff\xfe{",
        b"[" * 9999,
    ],
)
def test_text_that_is_none_is_refused_not_crashed_on(api: httpx.Client, body: bytes) -> None:
    answer = api.post(FLAGS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    problem(answer)


@pytest.fixture(scope="class")
def _gone(clusters: EmbeddedPostgres, ops_url: str, server: str) -> Iterator[None]:
    """The ops database refuses every connection until the class is through."""
    name = ops_url.rpartition("/")[2]
    with psycopg.connect(clusters.superuser_url("ops"), dbname="template1", autocommit=True) as superuser:
        superuser.execute(f"alter database {name} with allow_connections false".encode())
        superuser.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        yield
        superuser.execute(f"alter database {name} with allow_connections true".encode())


class TestWithoutTheDatabase:
    """The ops database refuses every connection, then is back."""

    @pytest.mark.usefixtures("_gone")
    def test_the_admin_api_says_so_in_time(self, api: httpx.Client) -> None:
        for path in (FLAGS, "/api/admin/audit"):  # with connections that have died, and then with none to be had
            begun = time.monotonic()
            answer = api.get(path)
            assert time.monotonic() - begun < UNAVAILABLE_WITHIN_SECONDS
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "ops database" in str(problem(answer)["detail"])

    @pytest.mark.usefixtures("_gone")
    def test_the_admin_token_still_sees_what_is_wrong(self, api: httpx.Client) -> None:
        answer = api.get("/api/monitoring/health")
        assert answer.status_code in (200, 503)
        assert any(check.get("detail") for check in answer.json()["checks"])


def test_afterwards_it_is_back_by_itself(api: httpx.Client) -> None:
    deadline = time.monotonic() + 15
    while api.get(FLAGS).status_code != 200:
        assert time.monotonic() < deadline
