"""The framing of envelopes, by the published format and its examples."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.envelope import MOST_HEADER_BYTES, MOST_ITEMS, parse_envelope
from opsbook.debugging.protocol.errors import Malformed, TooLarge

HEADER = b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}'
ID = "9ec79c33ec9942ab8353589fcb2e04dc"


def parsed(body: bytes) -> list[tuple[str, bytes]]:
    return [(item.type, bytes(item.payload)) for item in parse_envelope(body).items]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_items_with_a_length_may_hold_newlines(end: bytes) -> None:
    body = (
        HEADER
        + b'\n{"type":"attachment","length":10,"filename":"hello.txt"}\n\xef\xbb\xbfHello\r\n'
        + b'\n{"type":"event","length":13}\n{"a":\n"b"   }'
        + end
    )
    assert parsed(body) == [("attachment", b"\xef\xbb\xbfHello\r\n"), ("event", b'{"a":\n"b"   }')]
    assert parse_envelope(body).items[0].filename == "hello.txt"


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_without_a_length_the_payload_goes_to_the_newline(end: bytes) -> None:
    assert parsed(HEADER + b'\n{"type":"attachment"}\nhelloworld' + end) == [("attachment", b"helloworld")]
    assert parsed(b'{}\n{"type":"session"}\n{"started":1}\r\n{"type":"session"}\n2') == [
        ("session", b'{"started":1}\r'),
        ("session", b"2"),
    ]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_items_may_be_empty(end: bytes) -> None:
    body = HEADER + b'\n{"type":"attachment","length":0}\n\n{"type":"attachment","length":0}\n' + end
    assert parsed(body) == [("attachment", b""), ("attachment", b"")]
    assert parsed(HEADER + b'\n{"type":"attachment","length":0}') == [("attachment", b"")]


@pytest.mark.parametrize("body", [b"{}", b"{}\n", b"{}\n\n\n"])
def test_an_envelope_may_be_empty(body: bytes) -> None:
    assert parsed(body) == []


def test_items_of_unknown_type_and_unknown_headers_are_kept() -> None:
    body = b'{"future":[1]}\n{"type":"hologram","length":2,"x":{}}\n{}\n{"type":"event"}\n{}\n'
    assert parsed(body) == [("hologram", b"{}"), ("event", b"{}")]


def test_the_headers_that_matter() -> None:
    envelope = parse_envelope(
        b'{"event_id":"9EC79C33-EC99-42AB-8353-589FCB2E04DC","dsn":"https://k@h/1","sent_at":"2026-03-01T12:00:00.5Z",'
        b'"sdk":{"name":"sentry.python","version":"2.1"}}\n'
        b'{"type":"log","item_count":2,"content_type":"application/vnd.sentry.items.log+json","length":2}\n{}'
    )
    assert envelope.event_id == ID
    assert envelope.dsn == "https://k@h/1"
    assert envelope.sent_at == datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    assert envelope.sdk == "sentry.python/2.1"
    assert envelope.items[0].item_count == 2
    assert envelope.items[0].content_type == "application/vnd.sentry.items.log+json"


def test_headers_of_the_wrong_type_are_passed_over() -> None:
    envelope = parse_envelope(b'{"event_id":7,"dsn":[],"sent_at":{},"sdk":"x"}\n{"type":"event","item_count":-1}\n{}')
    assert (envelope.event_id, envelope.dsn, envelope.sent_at, envelope.sdk) == (None, None, None, None)
    assert envelope.items[0].item_count is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "envelope: its header line is not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff\n", "not JSON"),
        (b'{}\n{"length":1}\nx', "item 1: its header has no type"),
        (b'{}\n{"type":"a"}\nx\n{"type":""}\n', "item 2: its header has no type"),
        (b'{}\n{"type":"a","length":5}\nabc', "ends before the 5 bytes"),
        (b'{}\n{"type":"a","length":2}\nabc', "no newline after the 2 bytes"),
        (b'{}\n{"type":"a","length":-2}\nabc', "not a number of bytes"),
        (b'{}\n{"type":"a","length":"2"}\nab', "not a number of bytes"),
        (b'{}\n{"type":"a","length":true}\na', "not a number of bytes"),
        (b'{"a":"' + b"x" * MOST_HEADER_BYTES + b'"}', "header line is longer"),
    ],
)
def test_what_breaks_the_format_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        parse_envelope(body)


def test_too_many_items_are_refused() -> None:
    body = b"{}" + b'\n{"type":"a"}\n1' * MOST_ITEMS
    assert len(parse_envelope(body).items) == MOST_ITEMS
    with pytest.raises(TooLarge):
        parse_envelope(body + b'\n{"type":"a"}\n1')


payloads = st.lists(st.tuples(st.text(min_size=1), st.binary(max_size=50)), max_size=5)


@given(payloads, st.booleans())
def test_what_was_written_is_read(items: list[tuple[str, bytes]], last_newline: bool) -> None:
    lines = [orjson.dumps({"event_id": ID})]
    for kind, payload in items:
        lines += [orjson.dumps({"type": kind, "length": len(payload)}), payload]
    assert parsed(b"\n".join(lines) + b"\n" * last_newline) == items


pieces = st.sampled_from(
    [b"{}", b"\n", b'{"type":"event"}', b'{"type":"a","length":3}', b"abc", b"[", b'"', b"\0", b"\xff"]
)


@given(st.binary() | st.lists(pieces, max_size=12).map(b"".join))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(Malformed, TooLarge):
        parse_envelope(body)


def test_any_number_of_newlines_is_passed_over_at_once() -> None:
    began = time.process_time()
    assert parsed(b"{}" + b"\n" * 20_000_000 + b'{"type":"session"}\n{}') == [("session", b"{}")]
    assert time.process_time() - began < 1
