"""Events of every SDK's habits, and of none: read into one form, refused only where they are no event at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsbook.debugging.protocol import limits
from opsbook.debugging.protocol.document import read_document
from opsbook.debugging.protocol.errors import Malformed
from opsbook.debugging.protocol.event import Event, read_event
from opsbook.debugging.protocol.messages import fill_in
from tests.debugging.events import NOW, event, event_of, frame, python_event, raised
from tests.debugging.protocol.test_document import json_values


def test_an_ordinary_event() -> None:
    read = event_of(python_event())
    assert read.event_id == UUID("0123456789abcdef0123456789abcdef")
    assert read.occurred_at == datetime(2026, 3, 1, 11, 59, 58, 123_456, tzinfo=UTC)
    assert (read.level, read.platform, read.environment, read.release) == ("error", "python", "staging", "shop@1.4.2")
    assert (read.transaction, read.server_name, read.user.key) == ("/orders/{order_id}", "web-3", "42")
    assert (read.tags, read.trace_id, read.sdk) == ({"plan": "pro"}, UUID("a" * 32), "sentry.python/2.0.0")
    exception = read.exceptions[0]
    assert exception.stacktrace is not None
    assert (exception.type, exception.stacktrace.frames[0].function) == ("KeyError", "handle_0")


def test_an_empty_event_is_one() -> None:
    read = event()
    assert read.event_id != event().event_id
    assert (read.occurred_at, read.claimed_at) == (NOW, None)
    assert (read.level, read.environment, read.platform, read.message) == ("error", "production", "other", "")
    assert (read.exceptions, read.tags, read.user.key) == ((), {}, None)


def test_the_envelope_gives_the_id_that_the_event_lacks() -> None:
    given_id = "9ec79c33ec9942ab8353589fcb2e04dc"
    for own, expected in ((None, given_id), ("garbage", given_id), ("A" * 32, "a" * 32)):
        document = read_document(orjson.dumps({"event_id": own}))
        assert read_event(document, received_at=NOW, event_id=given_id).event_id == UUID(expected)


def test_a_clock_that_is_off_is_set_right_and_its_time_kept() -> None:
    off = timedelta(hours=5)
    document = read_document(orjson.dumps({"timestamp": (NOW - off - timedelta(seconds=3)).isoformat()}))
    read = read_event(document, received_at=NOW, sent_at=NOW - off)
    assert read.occurred_at == NOW - timedelta(seconds=3)
    assert read.claimed_at == NOW - off - timedelta(seconds=3)
    ancient = event(timestamp=0)
    assert (ancient.occurred_at, ancient.claimed_at) == (NOW, datetime(1970, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("fatal", "fatal"),
        ("WARN", "warning"),
        ("log", "info"),
        (40, "error"),
        ("40", "error"),
        ("loud", "error"),
        ({}, "error"),
    ],
)
def test_levels(written: object, level: str) -> None:
    assert event(level=written).level == level


ONE = raised("KeyError", "x", frame("shop.orders", "price"))


@pytest.mark.parametrize(
    "exception",
    [{"values": [ONE]}, [ONE], ONE, {"values": [None, ONE, None, 7]}, {"values": [{**ONE, "mechanism": None}]}],
)
def test_forms_of_an_exception(exception: object) -> None:
    read = event(exception=exception)
    assert [e.type for e in read.exceptions] == ["KeyError"]
    assert read.exceptions[0].stacktrace is not None
    assert read.exceptions[0].stacktrace.frames[0].module == "shop.orders"
    assert read.document["exception"]["values"][0]["type"] == "KeyError"


@pytest.mark.parametrize("attribute", ["sentry.interfaces.Exception", "exception"])
def test_old_names_of_attributes(attribute: str) -> None:
    assert event(**{attribute: [ONE]}).exceptions[0].type == "KeyError"


@pytest.mark.parametrize(
    ("written", "function", "line", "in_app"),
    [
        ({"function": "f", "lineno": "12", "in_app": "true"}, "f", 12, True),
        ({"function": 7, "lineno": 3.0, "in_app": 0}, "7", 3, False),
        ({"function": None, "lineno": 10**30, "in_app": None}, None, None, None),
        ({"function": ["f"], "lineno": "x", "in_app": {}}, None, None, None),
        ({"function": "f", "pre_context": [1, None, "x"], "vars": [["a", 1]], "lineno": True}, "f", None, None),
    ],
)
def test_odd_frames(written: object, function: str | None, line: int | None, in_app: bool | None) -> None:
    read = event(exception=[{"type": "E", "stacktrace": {"frames": [None, written]}}])
    assert read.exceptions[0].stacktrace is not None
    (kept,) = read.exceptions[0].stacktrace.frames
    assert (kept.function, kept.lineno, kept.in_app) == (function, line, in_app)


@pytest.mark.parametrize("stacktrace", [None, [], {}, {"frames": None}, {"frames": [None]}, 7, "x"])
def test_stacks_without_frames(stacktrace: object) -> None:
    read = event(exception=[{"type": "E", "value": {"code": 7}, "stacktrace": stacktrace}])
    assert (read.exceptions[0].type, read.exceptions[0].value) == ("E", '{"code":7}')


@pytest.mark.parametrize(
    ("user", "key"),
    [
        ({"id": 42}, "42"),
        ({"id": None, "email": "a@example.org"}, "a@example.org"),
        ({"id": "", "username": "ann", "ip_address": "10.0.0.1"}, "ann"),
        ({"ip_address": "10.0.0.1"}, "10.0.0.1"),
        ({"id": {"a": 1}}, None),
        ("ann", None),
        ([], None),
    ],
)
def test_users(user: object, key: str | None) -> None:
    assert event(user=user).user.key == key


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ([["a", "1"], ["b", 2], ["c", None], None, ["d"]], {"a": "1", "b": "2"}),
        ({"a": True, "b": {"x": 1}, "c": None, "": 1}, {"a": "true", "b": '{"x":1}'}),
        ({"k" * 300: "v" * 300}, {"k" * 197 + "...": "v" * 197 + "..."}),
        ("x", {}),
    ],
)
def test_tags(tags: object, kept: dict[str, str]) -> None:
    assert event(tags=tags).tags == kept


@pytest.mark.parametrize(
    ("attributes", "message", "template"),
    [
        ({"message": "plain"}, "plain", "plain"),
        ({"message": {"message": "a %s", "params": ["b"]}}, "a b", "a %s"),
        ({"logentry": {"message": "a %s", "formatted": "a b"}}, "a b", "a %s"),
        ({"logentry": {"message": "a {} and {}", "params": ["b"]}}, "a b and {}", "a {} and {}"),
        ({"logentry": "text"}, "text", "text"),
        ({"logentry": {"message": "%s", "params": "one"}}, "one", "%s"),
        ({"message": 7}, "7", "7"),
    ],
)
def test_messages(attributes: dict[str, Any], message: str, template: str) -> None:
    read = event(**attributes)
    assert (read.message, read.template) == (message, template)


@pytest.mark.parametrize(
    ("template", "params", "text"),
    [
        ("%(a)s of %(b)d", {"a": 1, "b": 2}, "1 of 2"),
        ("{1} {0} {x}", ["a", "b"], "b a {x}"),
        ("{x}", {"x": "y"}, "y"),
        ("100%% of %s", ["it"], "100% of it"),
        ("%999999999d", [1], "%999999999d"),
        ("%s" * 3, ["x" * 5_000], "x" * 1_000 + "%s%s"),
    ],
)
def test_parameters_are_filled_in(template: str, params: Any, text: str) -> None:
    assert fill_in(template, params) == text


def test_the_stack_of_an_event_without_exception() -> None:
    stack = {"frames": [frame("shop.orders", "price")]}
    for attributes in (
        {"stacktrace": stack},
        {"threads": {"values": [{"stacktrace": {"frames": []}}, {"current": True, "stacktrace": stack}]}},
        {"threads": [{"current": True}, {"crashed": True, "stacktrace": stack}]},
    ):
        assert [f.function for f in event(**attributes).frames] == ["price"]


def test_what_is_too_long_is_cut() -> None:
    frames = [frame("m", f"f{number}") for number in range(1_000)]
    read = event(
        exception=[raised("E", "v" * 20_000, *frames)],
        breadcrumbs=[{"message": str(number)} for number in range(500)],
        fingerprint=["x" * 1_000] * 50,
        release="r" * 999,
        environment="e" * 999,
        tags={str(number): "x" for number in range(500)},
    )
    exception = read.exceptions[0]
    assert exception.stacktrace is not None and exception.value is not None
    assert len(exception.value) == limits.MESSAGE_CHARACTERS
    kept = [f.function for f in exception.stacktrace.frames]
    assert (len(kept), kept[0], kept[-1]) == (limits.MOST_FRAMES, "f0", "f999")
    assert read.document["breadcrumbs"]["values"][-1] == {"message": "499"}
    assert len(read.document["breadcrumbs"]["values"]) == limits.MOST_BREADCRUMBS
    assert len(read.fingerprint) == limits.MOST_FINGERPRINT_PARTS
    assert (len(read.release or ""), len(read.environment)) == (limits.NAME_CHARACTERS, limits.ENVIRONMENT_CHARACTERS)
    assert len(read.tags) == limits.MOST_TAGS


def test_what_cannot_be_read_is_kept_aside() -> None:
    read = event(user="ann", exception=7)
    assert read.document["_meta"]["user"][""] == {"err": ["invalid_data"], "val": "ann"}
    assert read.document["_meta"]["exception"][""]["val"] == 7


def test_the_document_and_its_text_have_the_canonical_form() -> None:
    document = read_document(orjson.dumps({"exception": [ONE], "breadcrumbs": [{"message": "x"}], "tags": [["a", 1]]}))
    read_event(document, received_at=NOW)
    kept = orjson.loads(document.text)
    assert kept == document.value
    assert kept["exception"]["values"][0]["type"] == "KeyError"
    assert kept["breadcrumbs"] == {"values": [{"message": "x"}]}
    assert kept["tags"] == {"a": "1"}


names = st.sampled_from(
    [
        *("event_id", "timestamp", "level", "platform", "environment", "release", "dist", "transaction", "logger"),
        *("server_name", "message", "logentry", "exception", "threads", "stacktrace", "fingerprint", "user", "tags"),
        *(
            "request",
            "contexts",
            "breadcrumbs",
            "extra",
            "modules",
            "sdk",
            "_meta",
            "values",
            "frames",
            "type",
            "value",
        ),
        *("mechanism", "vars", "in_app", "lineno", "function", "filename", "context_line", "pre_context", "params"),
        *("formatted", "trace", "trace_id", "id"),
    ]
)
shapes = st.recursive(
    json_values, lambda values: st.lists(values, max_size=3) | st.dictionaries(names, values, max_size=5), max_leaves=20
)


@settings(max_examples=60)
@given(st.dictionaries(names, shapes, max_size=8))
def test_any_document_is_an_event_that_postgres_can_hold(value: dict[str, Any]) -> None:
    raw = json.dumps(value).encode("utf-8", "surrogatepass")
    try:
        read = read_event(read_document(raw), received_at=NOW)
    except Malformed as error:
        pytest.fail(f"refused: {error}")
    for text in _texts(read):
        assert "\0" not in text
        text.encode()


def test_what_is_read_again_is_the_same() -> None:
    first = event(
        exception=[ONE], user={"id": 1}, tags=[["a", 1]], message={"message": "m %s", "params": [1]}, timestamp="12"
    )
    again = event_of(orjson.dumps({**first.document, "event_id": first.event_id.hex}))
    assert again == first or again.document["event_id"] == first.event_id.hex


def _texts(read: Event) -> list[str]:
    columns = [
        read.level,
        read.platform,
        read.environment,
        read.message,
        *read.tags,
        *read.tags.values(),
        *read.fingerprint,
    ]
    optional = [read.release, read.transaction, read.logger, read.server_name, read.user.key, read.template, read.url]
    values = [text for e in read.exceptions for text in (e.type, e.value)]
    return [text for text in [*columns, *optional, *values] if text is not None]
