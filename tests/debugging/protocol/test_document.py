"""Payloads that would break a parser, a database or a page, made safe to keep."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.document import (
    CUT,
    MOST_CHARACTERS,
    MOST_DEPTH,
    MOST_ENTRIES,
    MOST_KEY_CHARACTERS,
    MOST_TEXT_BYTES,
    MOST_VALUES,
    Document,
    read_document,
)
from opsbook.debugging.protocol.errors import Malformed, TooLarge


def value_of(raw: bytes) -> dict[str, Any]:
    return read_document(raw).value


def test_an_ordinary_document_is_kept_as_it_is() -> None:
    written = {"a": [1, 2.5, None, True, "ü\n😀", {}], "_meta": {"a": 1}}
    document = read_document(orjson.dumps(written))
    assert document.value == written
    assert document.text == orjson.dumps(written)
    assert read_document(memoryview(document.text)).value == written


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (rb'{"a":"x\u0000y"}', "x\ufffdy"),
        (rb'{"a":"\\u0000"}', "\\u0000"),
        (rb'{"a":"x\ud800y"}', "x\ufffdy"),
        (rb'{"a":"\udc00\ud83d"}', "\ufffd\ufffd"),
        (rb'{"a":"\ud83d\ude00 \ud800"}', "😀 \ufffd"),
        (b'{"a":"x\xff\xfey"}', "x\ufffd\ufffdy"),
        (b'{"a":"x\x00\x01\ny"}', "x\ufffd\x01\ny"),
        (b'{"a":NaN}', None),
        (b'{"a":-Infinity}', None),
        (b'{"a":1e999}', None),
        (b'{"a":123456789012345678901234567890}', 123456789012345678901234567890.0),
        (b'{"a":1,"a":2}', 2),
        (b'\xef\xbb\xbf{"a":1}', 1),
    ],
)
def test_what_json_may_hold_and_postgres_may_not(raw: bytes, kept: object) -> None:
    assert value_of(raw) == {"a": kept}


@pytest.mark.parametrize("end", ["", "\\"])
def test_a_string_that_never_ends_is_refused_as_fast_as_it_is_read(end: str) -> None:
    began = time.process_time()
    with pytest.raises(Malformed):
        read_document(('{"a":"' + '\\"' * 1_000_000 + end).encode())
    assert time.process_time() - began < 5, "a try for each of its quotes takes hours"


def test_keys_are_made_safe_too() -> None:
    key = "k" * 1_000
    assert value_of(orjson.dumps({"a\0b": 1, key: 2, "t": "\0"})) == {
        "a\ufffdb": 1,
        key[:MOST_KEY_CHARACTERS]: 2,
        "t": "\ufffd",
    }


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"1", b'"text"', b"null", b"{", b'{"a":1}x', b'{"a" 1}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_document(raw)


def test_a_string_of_ten_megabytes_is_cut_and_noted() -> None:
    document = read_document(b'{"extra":{"log":"' + b"x" * 10_000_000 + b'","n":1}}')
    assert document.value["extra"]["log"] == "x" * (MOST_CHARACTERS - 3) + "..."
    assert document.value["extra"]["n"] == 1
    note = {"len": 10_000_000, "rem": [["!limit", "x", MOST_CHARACTERS - 3, MOST_CHARACTERS]]}
    assert document.value["_meta"] == {"extra": {"log": {"": note}}}
    assert orjson.loads(document.text) == document.value


@pytest.mark.parametrize("depth", [300, 2_000, 10_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"k":', b"}")])
def test_deep_nesting_is_cut(depth: int, opening: bytes, closing: bytes) -> None:
    value = value_of(b'{"before":1,"deep":' + opening * depth + b'"]}["' + closing * depth + b',"after":"}"}')
    assert value["before"] == 1
    assert value["after"] == "}"
    assert CUT.encode() in orjson.dumps(value["deep"])
    assert _depth(value) <= MOST_DEPTH


def test_long_collections_are_cut_and_noted() -> None:
    value = value_of(orjson.dumps({"list": [0] * 10_000, "object": {str(n): n for n in range(9_000)}}))
    assert len(value["list"]) == len(value["object"]) == MOST_ENTRIES
    assert value["_meta"]["list"][""]["len"] == 10_000
    assert value["_meta"]["object"][""]["len"] == 9_000


def test_notes_join_those_of_the_sdk() -> None:
    sent = {"_meta": {"user": {"": {"len": 9}}}, "extra": "x" * 20_000}
    assert set(value_of(orjson.dumps(sent))["_meta"]) == {"user", "extra"}


def test_what_is_large_by_its_structure_is_refused() -> None:
    with pytest.raises(TooLarge, match=f"{MOST_VALUES:,} values"):
        read_document(b'{"a":[' + b"[]," * MOST_VALUES + b"[]]}")
    many = [["x" * 1_000] * 50] * 40
    with pytest.raises(TooLarge, match=f"{MOST_TEXT_BYTES:,} bytes"):
        read_document(orjson.dumps({"a": many}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(st.characters()), values, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters()), json_values, max_size=4))
def test_whatever_an_sdk_writes_can_be_kept(value: dict[str, Any]) -> None:
    document = read_document(json.dumps(value).encode("utf-8", "surrogatepass"))
    assert_safe(document)


@given(
    st.binary()
    | st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",", b"1", b"\xff", b"NaN"])).map(b"".join)
)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        document = read_document(raw)
    except (Malformed, TooLarge):
        return
    assert_safe(document)


def assert_safe(document: Document) -> None:
    assert orjson.loads(document.text) == document.value
    assert rb"\u0000" not in document.text.replace(rb"\\", b"")


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0
