"""What is taken out of events, log records and texts, what is left, and that looking costs little."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.document import read_document
from opsbook.debugging.protocol.event import read_event
from opsbook.debugging.scrubbing import FILTERED, Scrubber, ScrubbingRules
from tests.debugging.events import NOW, python_event
from tests.debugging.protocol.test_document import json_values

SCRUBBER = Scrubber()
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    "key",
    [
        *("password", "Password", "user_passwd", "X-Api-Key", "apiKey", "api key", "clientSecret", "access_token"),
        *("AUTHORIZATION", "Set-Cookie", "csrf_token", "PHPSESSID", "pin", "cvv", "auth", "pwd", "privateKey"),
        *("b'authorization'", "DATABASE_URL"),
    ],
)
def test_values_of_secret_keys(key: str) -> None:
    assert SCRUBBER.scrub({"a": [{key: "hunter2"}]}) == {"a": [{key: FILTERED}]}
    assert SCRUBBER.scrub({key: 1234}) == {key: FILTERED}


@pytest.mark.parametrize(
    "key",
    ["author", "passenger", "pinned", "mapping", "max_tokens", "token_count", "spin", "compass", "sidebar", "authors"],
)
def test_keys_that_only_look_like_it(key: str) -> None:
    assert SCRUBBER.scrub({key: "hunter2", "password": "x"}) == {key: "hunter2", "password": FILTERED}


def test_the_shape_of_a_secret_stays_and_what_says_nothing_too() -> None:
    sent = {"cookies": {"a": "1", "b": ["2", None]}, "session": None, "auth": True, "password": ""}
    kept = {"cookies": {"a": FILTERED, "b": [FILTERED, None]}, "session": None, "auth": True, "password": ""}
    assert SCRUBBER.scrub(sent) == kept


def test_pairs_of_a_name_and_a_value() -> None:
    sent = {"headers": [["Host", "h"], ["Cookie", "a=1"], ["b'cookie'", "b'a=1'"]]}
    assert SCRUBBER.scrub(sent) == {"headers": [["Host", "h"], ["Cookie", FILTERED], ["b'cookie'", FILTERED]]}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("password=hunter2&x=1", "password=[Filtered]&x=1"),
        ("GET /reset?token=abcdef&q=2 HTTP/1.1", "GET /reset?token=[Filtered]&q=2 HTTP/1.1"),
        ("Authorization: Bearer abcdefghijk", "Authorization: [Filtered]"),
        ("sent Bearer abcdefghijk to it", "sent Bearer [Filtered] to it"),
        ("{'password': 'hunter2', 'user': 1}", "{'password': '[Filtered]', 'user': 1}"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": "[Filtered]", "n": 1}'),
        (r"{\"api_key\": \"abc\", \"n\": 1}", r"{\"api_key\": \"[Filtered]\", \"n\": 1}"),
        ("(b'host', b'x'), (b'cookie', b'a=b; c')", "(b'host', b'x'), (b'cookie', b'[Filtered]')"),
        ("postgres://ann:p4ss@db/shop", "postgres://ann:[Filtered]@db/shop"),
        ("redis://:p4ss@cache:6379/0", "redis://:[Filtered]@cache:6379/0"),
        (f"paid with {CARD}.", "paid with [Filtered]."),
        ("paid with 378282246310005", "paid with [Filtered]"),
        (f"token was {JWT}", "token was [Filtered]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nafter", "[Filtered]\nafter"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "[Filtered]"),
        ("key opsb_0123456789abcdef", "key [Filtered]"),
        ("AKIAIOSFODNN7EXAMPLE", "[Filtered]"),
        ("ü password=geheim ü", "ü password=[Filtered] ü"),
        ("one\npassword=two\nthree", "one\npassword=[Filtered]\nthree"),
    ],
)
def test_secrets_in_texts(text: str, kept: str) -> None:
    assert SCRUBBER.scrub_text(text) == kept
    # Inside JSON, where a newline is an escape, it must be found as well.
    document = read_document(orjson.dumps({"logs": [{"text": text}]}))
    SCRUBBER.scrub_document(document)
    assert document.value == {"logs": [{"text": kept}]} == orjson.loads(document.text)


@pytest.mark.parametrize(
    "text",
    [
        "the secret of success is a good password",
        "Unexpected token < in JSON at position 0",
        "number 4111111111111112 has a wrong check digit",
        "at 1772366400000 order 5500000000000 came",
        "https://example.org/a@b:c",
        "Bearer with us",
        "reset your password: ",
        "eyJ is how it starts",
        "",
        "\ud800",
    ],
)
def test_texts_without_secrets(text: str) -> None:
    assert SCRUBBER.scrub_text(text) == text


def test_card_numbers_that_are_numbers() -> None:
    sent = {"n": 4111111111111111, "id": 4111111111111112, "big": 10**40}
    assert SCRUBBER.scrub(sent) == {"n": FILTERED, "id": 4111111111111112, "big": 10**40}


def test_lines_of_source_keep_their_calls_and_lose_their_literals() -> None:
    frame = {"context_line": "password = read_password()", "pre_context": ['token = "abcdef123"', "x = 1"]}
    assert SCRUBBER.scrub(frame) == {
        "context_line": "password = read_password()",
        "pre_context": ['token = "[Filtered]"', "x = 1"],
    }


def test_keys_of_ones_own_and_allowed_ones() -> None:
    scrubber = Scrubber(
        ScrubbingRules(secret_keys=frozenset({"Kundennummer", "iban-nr"}), allowed_keys=frozenset({"token"}))
    )
    sent = {"kundenNummer": "1", "IBAN_NR": "x", "token": "abc", "t": "kundennummer=123&iban-nr: 456", "j": JWT}
    assert scrubber.scrub(sent) == {
        "kundenNummer": FILTERED,
        "IBAN_NR": FILTERED,
        "token": "abc",
        "t": "kundennummer=[Filtered]&iban-nr: [Filtered]",
        "j": FILTERED,
    }


def test_personal_data_where_configured() -> None:
    sent = {"message": "mail to ann@example.org from 10.0.0.1"}
    assert SCRUBBER.scrub(sent) == sent
    assert Scrubber(ScrubbingRules(emails=True)).scrub(sent) == {"message": "mail to [Filtered] from 10.0.0.1"}
    assert Scrubber(ScrubbingRules(ip_addresses=True)).scrub(sent) == {
        "message": "mail to ann@example.org from [Filtered]"
    }


class Credentials:
    """Something that a log record may hold, and whose repr gives away too much."""

    def __repr__(self) -> str:
        return "Credentials(password='hunter2')"


def test_log_records_may_hold_anything() -> None:
    plain = object()
    record = {
        "event": "signed_in",
        7: "x",
        "plain": plain,
        "who": Credentials(),
        "pair": (1, "token=abcdef"),
        "text": "\ud800",
    }
    assert SCRUBBER.scrub(record) == {
        "event": "signed_in",
        7: "x",
        "plain": plain,
        "who": "Credentials(password='[Filtered]')",
        "pair": (1, "token=[Filtered]"),
        "text": "\ud800",
    }


def test_records_that_go_round_in_circles() -> None:
    circle: dict[str, Any] = {"password": "hunter2", "n": 1}
    circle["one"] = circle["other"] = circle
    kept = SCRUBBER.scrub({"context": circle})
    assert "hunter2" not in repr(kept)
    assert "'n': 1" in kept["context"]
    assert SCRUBBER.scrub(circle)["password"] == FILTERED


def test_what_holds_no_secret_is_not_copied() -> None:
    record = {"event": "order_paid", "order": {"id": 7}}
    assert SCRUBBER.scrub(record) is record
    document = read_document(python_event())
    assert not SCRUBBER.scrub_document(document)


def test_a_secret_anywhere_in_an_event_is_found() -> None:
    places: list[dict[str, Any]] = [
        {"request": {"headers": {"X-Auth-Token": "s3cr3t-7"}}},
        {"request": {"query_string": "a=1&access_token=s3cr3t-7", "data": '{"password":"s3cr3t-7"}'}},
        {"request": {"cookies": [["sid", "s3cr3t-7"]]}},
        {"breadcrumbs": {"values": [{"message": "login with password=s3cr3t-7"}]}},
        {"exception": {"values": [{"stacktrace": {"frames": [{"vars": {"passwd": "'s3cr3t-7'"}}]}}]}},
        {"exception": {"values": [{"value": "bad url redis://u:s3cr3t-7@h"}]}},
        {"extra": {"env": {"SECRET_KEY": "s3cr3t-7"}}},
        {"tags": [["api_key", "s3cr3t-7"]]},
    ]
    for place in places:
        document = read_document(orjson.dumps({**orjson.loads(python_event()), **place}))
        assert SCRUBBER.scrub_document(document)
        assert b"s3cr3t-7" not in document.text
        assert FILTERED.encode() in document.text


@pytest.mark.parametrize("params", [["s3cr3t-7"], "s3cr3t-7"])
def test_a_secret_that_is_one_only_in_its_message(params: object) -> None:
    sent = {"logentry": {"message": "login with password=%s failed", "params": params}}
    document = read_document(orjson.dumps(sent))
    read = read_event(document, received_at=NOW, scrub=SCRUBBER.scrub_document)
    assert read.message == "login with password=[Filtered] failed"
    assert orjson.loads(document.text)["logentry"]["formatted"] == read.message
    assert b"s3cr3t-7" not in document.text


@pytest.mark.parametrize(
    "digits",
    [
        *("4111111111111111", "5555555555554444", "2223003122003222", "378282246310005", "30569309025904"),
        *("3530111333300000", "6011111111111117", "6200000000000005", "5018000000000009"),
    ],
)
def test_card_numbers(digits: str) -> None:
    assert SCRUBBER.scrub_text(digits) == FILTERED
    assert SCRUBBER.scrub_text(digits[:-1] + str((int(digits[-1]) + 1) % 10)) != FILTERED


@given(json_values)
def test_scrubbing_again_changes_nothing(value: Any) -> None:
    once = SCRUBBER.scrub(value)
    assert repr(SCRUBBER.scrub(once)) == repr(once)


secrets = st.text("abcdefghijklmnopqrstuvwxyz", min_size=12, max_size=12).map("zq".__add__)


@given(json_values, secrets, st.sampled_from(["password", "x_api_key", "Authorization", "sid"]), st.data())
def test_a_secret_never_survives(value: Any, secret: str, key: str, data: st.DataObject) -> None:
    hidden = data.draw(
        st.sampled_from([{key: secret}, [key, secret], {"deep": [{"deeper": (key, secret)}]}, f"x&password={secret}&y"])
    )
    assert secret not in repr(SCRUBBER.scrub([value, hidden]))


@given(st.text(st.characters()))
def test_any_text_can_be_scrubbed(text: str) -> None:
    SCRUBBER.scrub_text(text)
    SCRUBBER.scrub_text(f"password={text}")
