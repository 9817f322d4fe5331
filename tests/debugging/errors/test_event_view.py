"""What an event's page shows: the chain, its stacks with ours apart; bounded, and whatever an SDK sent."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opsbook.debugging.errors.event_view import VALUE_CHARACTERS, view_of
from tests.debugging.events import frame, raised

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
PARTS = ("exception", "threads", "stacktrace", "breadcrumbs", "request", "contexts", "extra", "user", "logentry")


def test_what_was_seen_first_stands_first_and_its_innermost_call_on_top() -> None:
    library = frame("framework.routing", "dispatch", in_app=False)
    cause = raised("LookupError", "no rate", frame("shop.rates", "find", "return rates[currency]"))
    seen = raised("OrderError", "refused", library, frame("shop.orders", "total", "find(currency)"), library, library)
    view = view_of({"exception": {"values": [cause, seen]}})
    assert [thrown.kind for thrown in view.chain] == ["OrderError", "LookupError"]
    assert [(part.are_ours, len(part.calls)) for part in view.chain[0].stack] == [(False, 2), (True, 1), (False, 1)]
    call = view.chain[0].stack[1].calls[0]
    assert (call.function, call.place, call.path) == ("total", "shop/orders.py:10", "/srv/app/shop/orders.py")


def test_source_is_numbered_around_the_line() -> None:
    given = {**frame("shop", "f", "three"), "lineno": 3, "pre_context": ["one", "two"], "post_context": ["four"]}
    (thrown,) = view_of({"exception": {"values": [raised("E", "v", given)]}}).chain
    lines = [(line.number, line.text, line.is_current) for line in thrown.stack[0].calls[0].lines]
    assert lines == [(1, "one", False), (2, "two", False), (3, "three", True), (4, "four", False)]


def test_an_event_without_exception_has_the_stack_of_the_thread_that_crashed() -> None:
    running = {"current": True, "stacktrace": {"frames": [frame("shop", "running")]}}
    crashed = {"crashed": True, "stacktrace": {"frames": [frame("shop", "crashed")]}}
    (thrown,) = view_of({"threads": {"values": [running, crashed]}}).chain
    assert thrown.stack[0].calls[0].function == "crashed"


def test_headers_come_as_pairs_mapping_or_text() -> None:
    request = {"headers": [["Accept", "text/html"]], "cookies": {"theme": "dark"}, "data": "a=1", "query_string": []}
    assert view_of({"request": request}).request_sections == [
        ("headers", [("Accept", "text/html")]),
        ("cookies", [("theme", "dark")]),
        ("data", [("", "a=1")]),
    ]


def test_long_values_are_cut() -> None:
    ((_, ((_, text),)),) = view_of({"extra": {"x": "y" * 10_000}}).contexts
    assert text == "y" * VALUE_CHARACTERS + "…"


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(PARTS), anything))
def test_anything_has_a_view(document: dict[str, Any]) -> None:
    view_of(document)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(("function", "filename", "lineno", "vars", "pre_context", "in_app")), anything))
def test_any_frame_has_a_view(given_frame: dict[str, Any]) -> None:
    given_frame["context_line"] = "x"
    view_of({"exception": {"values": [{"stacktrace": {"frames": [given_frame, None, 7]}, "mechanism": 3}]}})
