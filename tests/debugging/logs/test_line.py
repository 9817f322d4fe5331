"""The line of a record: bounded, storable, without secrets, whatever somebody logs."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.debugging.logs.filter import LogFilter, Place
from opsbook.debugging.logs.line import MOST_EXCEPTION, MOST_FIELDS, MOST_MESSAGE, Line, line_of, scrubbed
from opsbook.debugging.logs.terminal import as_json, harmless
from opsbook.debugging.scrubbing import Scrubber

SCRUBBER = Scrubber()

SURROGATES = st.characters(categories=["Cs"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | SURROGATES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


def record(message: object, *arguments: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("shop", level, "shop.py", 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


@given(message=st.text() | SURROGATES, extra=st.dictionaries(st.text(min_size=1) | SURROGATES, values, max_size=5))
def test_whatever_is_logged_can_be_stored(message: str, extra: dict[str, Any]) -> None:
    given_fields = {name: value for name, value in extra.items() if name not in record("").__dict__}
    line = scrubbed(line_of(record("%s", message, **given_fields), SCRUBBER), SCRUBBER)
    for text in (line.message, line.exception or "", line.user_id or "", line.request_id or "", line.logger):
        assert "\0" not in text
        text.encode()
    assert b"\\u0000" not in line.fields
    assert isinstance(orjson.loads(line.fields), dict)


@given(st.text())
def test_nothing_acts_on_a_terminal(text: str) -> None:
    shown = harmless(text) + as_json({"message": text})
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)


def test_a_line_has_bounds() -> None:
    try:
        raise ValueError("y" * 10**6 + " the end")
    except ValueError:
        raised = sys.exc_info()
    big = record("x" * 10**6, blob="z" * 10**6, user_id="u" * 10**6)
    big.exc_info = raised
    line = line_of(big, SCRUBBER)
    assert len(line.message) == MOST_MESSAGE
    assert len(line.fields) <= MOST_FIELDS
    assert line.exception is not None
    assert len(line.exception) == MOST_EXCEPTION
    assert line.exception.endswith(" the end")
    assert line.size < 100_000


def test_what_changes_later_does_not_change_the_line() -> None:
    basket = ["apple"]
    line = line_of(record("basket", basket=basket), SCRUBBER)
    basket.append("pear")
    assert orjson.loads(line.fields) == {"basket": ["apple"]}


def test_a_value_that_cannot_be_shown_costs_only_itself() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    circle: list[object] = []
    circle.append(circle)
    line = line_of(record("odd", rude=Rude(), circle=circle, big=2**70, fine=1), SCRUBBER)
    fields = orjson.loads(line.fields)
    assert fields["rude"] == "<Rude>"
    assert fields["circle"] == ["<list>"]
    assert fields["fine"] == 1
    assert line_of(record("odd", user_id=Rude()), SCRUBBER).user_id == "<Rude>"
    assert line_of(record(Rude()), SCRUBBER).message == "Rude <RuntimeError>"
    assert line_of(record("%d baskets", "no"), SCRUBBER).message == "%d baskets <TypeError>"


def test_secrets_are_taken_out_everywhere() -> None:
    try:
        raise ConnectionError("postgresql://shop:hunter2@db/shop refused")
    except ConnectionError:
        raised = sys.exc_info()
    secret = record("login with password=hunter2", password="hunter2", card="4111 1111 1111 1111")
    secret.exc_info = raised
    line = scrubbed(line_of(secret, SCRUBBER), SCRUBBER)
    text = f"{line.message} {line.fields.decode()} {line.exception}"
    assert "hunter2" not in text
    assert "4111" not in text
    assert "refused" in text


@pytest.mark.parametrize("beside", ["z" * 2 * MOST_FIELDS, 2**70], ids=["cut off", "beyond JSON"])
def test_secrets_are_told_by_their_names_also_in_what_cannot_be_kept_as_it_is(beside: object) -> None:
    line = scrubbed(line_of(record("signed_up", form={"pin": "4711-8", "beside": beside}), SCRUBBER), SCRUBBER)
    assert b"4711" not in line.fields
    assert b"pin" in line.fields


def test_a_line_without_secrets_is_left_as_it_is() -> None:
    line = line_of(record("request", path="/api/events", status=200), SCRUBBER)
    assert scrubbed(line, SCRUBBER) is line


@pytest.mark.parametrize(
    ("number", "level"), [(5, "debug"), (10, "debug"), (25, "info"), (30, "warning"), (45, "error"), (99, "critical")]
)
def test_a_level_of_ones_own_counts_as_the_one_below_it(number: int, level: str) -> None:
    assert line_of(record("x", level=number), SCRUBBER).level == level


@pytest.mark.parametrize("trace", ["not-a-trace", "0af7651916cd43dd8448eb211c80319", 7, None])
def test_a_trace_that_is_none_is_left_out(trace: object) -> None:
    assert line_of(record("x", trace_id=trace), SCRUBBER).trace_id is None


def test_a_trace_has_no_dashes() -> None:
    trace = "0af76519-16cd-43dd-8448-eb211c80319c"
    for written in (trace, trace.replace("-", ""), f"0-a-{trace[2:]}"):
        assert line_of(record("x", trace_id=written), SCRUBBER).trace_id == trace.replace("-", "")


@given(st.integers(0, 10**16 - 1), st.integers(0, 10**9 - 1), st.integers(0, 10**18 - 1))
def test_a_place_is_its_text(microseconds: int, writer: int, number: int) -> None:
    place = Place(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds), writer, number)
    assert Place.parse(str(place)) == place


@given(st.text())
def test_any_words_make_a_filter(text: str) -> None:
    wanted = LogFilter(text=text).parameters()["text"]
    assert wanted is None or ("\0" not in wanted and len(wanted) <= 200)


def test_a_line_is_small() -> None:
    assert Line(0, "info", "shop", "m", b"{}").size < 1_000
