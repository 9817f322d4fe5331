"""Project keys: where they may stand, and what happens where they disagree or are missing."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.protocol.authentication import Credentials, Dsn, parse_dsn, read_credentials
from opsbook.debugging.protocol.errors import ConflictingKeys, Malformed, MissingKey

HEADER = "Sentry sentry_version=7, sentry_client=sentry.python/2.0, sentry_key=abc123"


@pytest.mark.parametrize(
    "places",
    [
        {"sentry_header": HEADER},
        {"sentry_header": 'sentry sentry_key="abc123",sentry_client="sentry.python/2.0",sentry_secret=x'},
        {"authorization": HEADER},
        {"query": "sentry_key=abc123&sentry_version=7&sentry_client=sentry.python%2F2.0"},
        {
            "sentry_header": HEADER,
            "authorization": HEADER,
            "query": "sentry_key=abc123",
            "envelope_dsn": "http://abc123@h/1",
        },
        {"sentry_header": HEADER, "authorization": "Bearer of something else"},
    ],
)
def test_places_of_the_key(places: dict[str, Any]) -> None:
    assert read_credentials(project="1", **places) == Credentials("abc123", "sentry.python/2.0")


def test_an_envelope_alone_is_enough() -> None:
    assert read_credentials(project="7", envelope_dsn="https://abc123@errors.example.org/7") == Credentials("abc123")


@pytest.mark.parametrize(
    "places",
    [
        {"sentry_header": HEADER, "query": "sentry_key=other"},
        {"sentry_header": HEADER, "authorization": "Sentry sentry_key=other"},
        {"sentry_header": HEADER, "envelope_dsn": "http://other@h/1"},
        {"sentry_header": HEADER, "envelope_dsn": "http://abc123@h/2"},
    ],
)
def test_places_that_disagree_are_refused(places: dict[str, Any]) -> None:
    with pytest.raises(ConflictingKeys):
        read_credentials(project="1", **places)


@pytest.mark.parametrize(
    "places",
    [{}, {"sentry_header": "Sentry sentry_version=7"}, {"authorization": "Bearer x"}, {"query": "sentry_version=7"}],
)
def test_a_missing_key_is_refused(places: dict[str, Any]) -> None:
    with pytest.raises(MissingKey):
        read_credentials(project="1", **places)


@pytest.mark.parametrize(
    "places",
    [
        {"query": "sentry_key=a%00b"},
        {"query": "sentry_key=" + "a" * 65},
        {"query": "sentry_key=abc&sentry_version=99"},
        {"query": "sentry_key=abc&sentry_version=x"},
        {"query": "&".join(f"sentry_{n}=1" for n in range(99))},
        {"envelope_dsn": "not an address"},
        {"envelope_dsn": "http://h/1"},
        {"envelope_dsn": "http://abc@h:99999/1"},
        {"envelope_dsn": "ftp://abc@h/1"},
    ],
)
def test_what_cannot_be_a_key_is_refused(places: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_credentials(project="1", **places)


def test_the_parts_of_a_dsn() -> None:
    assert parse_dsn("https://abc:secret@h.example:9000/some/path/42/") == Dsn(
        "abc", "42", "https", "h.example:9000", "/some/path"
    )
    assert parse_dsn("https://abc@h/42").url() == "https://h/api/42/envelope/"
    assert parse_dsn("http://abc@[::1]:8000/p/1").url() == "http://[::1]:8000/p/api/1/envelope/"


@given(st.text(), st.text(), st.text(), st.text())
def test_any_texts_are_read_or_refused(header: str, authorization: str, query: str, dsn: str) -> None:
    with contextlib.suppress(Malformed, MissingKey, ConflictingKeys):
        read_credentials(
            project="1",
            sentry_header=f"Sentry {header}",
            authorization=authorization,
            query=f"sentry_key={query}",
            envelope_dsn=f"http://{dsn}",
        )
