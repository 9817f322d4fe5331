"""The lines of a request of the reference service carry its ids, also those that another thread finds out."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import psycopg
import pytest

from opsbook.core.log_context import trace_of
from tests.backend.conftest import Person, sign_up, start_service
from tests.debugging.logs.writing import lines_of
from tests.flags.helpers import until

__all__ = ["sign_up", "start_service"]

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def service(start_service: Callable[..., httpx.Client]) -> httpx.Client:
    return start_service(LOG_LEVEL="DEBUG", OPSBOOK_RELEASE="shop@7")


def test_request_trace_user_and_release_stand_in_its_lines(
    service: httpx.Client, sign_up: Callable[[], Person], database: psycopg.Connection
) -> None:
    person = sign_up()
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x-request-id": "request-of-a-person"}
    answer = person.client.get("/api/events", headers=headers)
    assert answer.status_code == 200
    assert "x-request-id" not in answer.headers, "the service's answers are its own"
    until(lambda: any(line["request_id"] == "request-of-a-person" for line in lines_of(database, "opsbook.http")), 15)
    (line,) = [line for line in lines_of(database, "opsbook.http") if line["request_id"] == "request-of-a-person"]
    assert (line["user_id"], line["trace_id"].hex, line["release"]) == (person.id, TRACE, "shop@7")
    assert {"method": "GET", "path": "/api/events", "status": 200}.items() <= line["fields"].items()


def test_a_request_without_ids_gets_one_of_its_own(service: httpx.Client, database: psycopg.Connection) -> None:
    def found() -> list[str]:
        lines = lines_of(database, "opsbook.http")
        return [line["request_id"] for line in lines if line["fields"].get("path") == "/api/nowhere"]

    for _ in range(2):
        service.get("/api/nowhere", headers={"x-request-id": "no\ttab", "traceparent": "00-0-0-0"})
    until(lambda: len(found()) == 2, 15)
    assert len(set(found())) == 2
    assert all(len(each) == 32 for each in found())


@pytest.mark.parametrize(
    ("traceparent", "sentry_trace", "found"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", None, TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like", None, TRACE),
        (None, f"{TRACE}-b7ad6b7169203331", TRACE),
        (None, f"{TRACE}-b7ad6b7169203331-1", TRACE),
        ("nonsense", f"{TRACE}-b7ad6b7169203331-0", TRACE),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None, None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None, None),
        (f"00-{TRACE}-{'0' * 16}-01", None, None),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None, None),
        (f"00-{TRACE}-b7ad6b7169203331", None, None),
        (None, None, None),
    ],
)
def test_a_trace_is_read_as_it_is_written(traceparent: str | None, sentry_trace: str | None, found: str | None) -> None:
    assert trace_of(traceparent, sentry_trace) == found
