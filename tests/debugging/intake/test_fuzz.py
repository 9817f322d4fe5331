"""Whatever is sent to the endpoints of the protocol is kept, counted or refused: nothing of it is an error of ours."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import brotli
import httpx
import psycopg
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsbook.debugging.protocol.items import KINDS
from tests.debugging.events import python_event
from tests.debugging.sending import Sender, key_of

EXAMPLES = 100
HOSTILE: Any = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["\0", "\ud800", "{{auto}}", "9" * 400, "<script>", "\x1b[2J", "=cmd()", uuid4().hex, "1e999", "é" * 300]
    ),
)
VALUES: Any = st.recursive(
    HOSTILE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def some_of(*names: str, **fields: Any) -> Any:
    """A dictionary with some of these fields, of any value unless it is given."""
    optional: dict[str, Any] = {**dict.fromkeys(names, VALUES), **fields}
    return st.fixed_dictionaries({}, optional=optional)


FRAME: Any = some_of("function", "module", "filename", "abs_path", "lineno", "in_app", "vars", "context_line")
STACK: Any = some_of(frames=st.lists(FRAME | VALUES, max_size=3))
EXCEPTION: Any = some_of("type", "value", "module", "mechanism", "thread_id", stacktrace=STACK | VALUES)
EVENT: Any = some_of(
    *("event_id", "timestamp", "platform", "level", "logger", "transaction", "server_name", "release", "dist", "tags"),
    *("environment", "modules", "extra", "fingerprint", "message", "logentry", "user", "request", "contexts", "sdk"),
    *("breadcrumbs", "threads", "stacktrace", "debug_meta", "comments", "name", "email", "duration", "check_in_id"),
    *("discarded_events", "items", "sid", "attrs", "type"),
    exception=some_of(values=st.lists(EXCEPTION | VALUES, max_size=2)) | EXCEPTION | VALUES,
    monitor_slug=st.text(max_size=20) | st.just("nightly"),
    status=st.sampled_from(["ok", "error", "in_progress"]) | VALUES,
    monitor_config=some_of("timezone", schedule=some_of("type", "value", "unit")) | VALUES,
)
ITEM: Any = st.tuples(
    st.sampled_from([*KINDS, "attachment"]) | st.text(max_size=10),
    EVENT.map(lambda event: json.dumps(event).encode()) | st.binary(max_size=40),
    some_of("length", "filename", "content_type", "item_count", "attachment_type"),
)
ENVELOPE: Any = some_of("event_id", "dsn", "sent_at", "sdk")
ENCODINGS: Mapping[str, Any] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "gzip, zstd": lambda body: zstandard.compress(gzip.compress(body)),
    "x-unknown": bytes,
}


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """An envelope of hostile items, or an honest one; either may be bent somewhere."""
    if draw(st.booleans()):
        lines = [json.dumps(draw(ENVELOPE)).encode()]
        for kind, payload, headers in draw(st.lists(ITEM, max_size=3)):
            lines += [json.dumps({"type": kind, **headers}).encode(), payload]
        body = b"\n".join(lines)
    else:
        body = b'{}\n{"type":"event"}\n' + python_event(2_000)
    if draw(st.booleans()):
        return body
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, len(body)))
    return (
        body[:start] + draw(st.binary(max_size=8)) + body[end:] + draw(st.sampled_from([b"", b"\n", body[start:end]]))
    )


@pytest.fixture(scope="module")
def sender(anonymous: httpx.Client, database: psycopg.Connection[Any]) -> Sender:
    return Sender(anonymous, key_of(database))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(body=bodies(), encoding=st.sampled_from([*ENCODINGS]), path=st.sampled_from(["envelope/", "store/"]))
def test_no_body_is_an_error_of_ours(sender: Sender, body: bytes, encoding: str, path: str) -> None:
    headers = {"Content-Encoding": encoding} if encoding else {}
    answer = sender.post(ENCODINGS[encoding](body), path, **headers)
    assert answer.status_code < 500, (answer.text, body)
    assert answer.json() is not None


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@settings(max_examples=EXAMPLES // 2)
@given(credentials=WORDS, query=st.text(max_size=40), encoding=WORDS)
def test_no_header_or_query_is_an_error_of_ours(
    anonymous: httpx.Client, credentials: str, query: str, encoding: str
) -> None:
    asked = {"X-Sentry-Auth": f"Sentry {credentials}", "Content-Encoding": encoding, "Authorization": credentials}
    answer = anonymous.post("/api/1/envelope/", params={"sentry_key": query}, headers=asked, content=b"{}")
    assert 400 <= answer.status_code < 500, answer.text
