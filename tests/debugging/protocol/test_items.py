"""Types of items: how they are treated, how large they may be, and the containers of some."""

from __future__ import annotations

import orjson
import pytest

from opsbook.debugging.protocol.envelope import Item
from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.protocol.items import (
    CONTAINERS,
    KINDS,
    ClientReport,
    Treatment,
    check_size,
    kind_of,
    quantity,
    read_client_report,
    read_container,
)

LOGS = orjson.dumps({"items": [{"body": "a"}, {"body": "b"}]})


def item(kind: str, payload: bytes = b"{}", *, count: int | None = None, content_type: str | None = None) -> Item:
    return Item(kind, memoryview(payload), item_count=count, content_type=content_type)


def test_known_types_are_stored_or_counted_and_unknown_ones_counted() -> None:
    assert kind_of(item("event")).treatment is Treatment.STORE
    assert kind_of(item("event")).category == "error"
    assert kind_of(item("replay_recording")).treatment is Treatment.COUNT
    assert kind_of(item("hologram")).treatment is Treatment.COUNT


@pytest.mark.parametrize("kind", [*KINDS, "hologram"])
def test_each_type_has_a_bound(kind: str) -> None:
    most = kind_of(item(kind)).most_bytes
    check_size(Item(kind, memoryview(bytes(most))))
    with pytest.raises(TooLarge, match=f"{most:,}"):
        check_size(Item(kind, memoryview(bytes(most + 1))))


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_container_counts_for_what_it_holds(kind: str) -> None:
    container = item(kind, LOGS, count=2, content_type=CONTAINERS[kind])
    assert quantity(container) == 2
    assert read_container(container) == [{"body": "a"}, {"body": "b"}]
    assert quantity(item(kind, LOGS, count=2)) == 1
    assert quantity(item("event", count=9)) == 1
    assert quantity(item(kind, LOGS, count=2**63, content_type=CONTAINERS[kind])) == len(LOGS)


def test_an_item_without_container_is_one() -> None:
    assert read_container(item("span", b'{"op":"db"}')) == [{"op": "db"}]


@pytest.mark.parametrize(
    ("payload", "count"),
    [(LOGS, 3), (LOGS, None), (b"{}", 0), (b'{"items":[1]}', 1), (b'{"items":{}}', 0), (b"[", 0), (b"[]", 0)],
)
def test_a_container_that_does_not_hold_what_it_says_is_refused(payload: bytes, count: int | None) -> None:
    with pytest.raises(Malformed):
        read_container(item("log", payload, count=count, content_type=CONTAINERS["log"]))


def test_what_an_sdk_dropped_is_read() -> None:
    report = {
        "timestamp": 1,
        "discarded_events": [
            {"reason": "queue_overflow", "category": "error", "quantity": 23},
            {"reason": "x", "category": "error", "quantity": -1},
            {"category": 5},
            {"reason": "made\0up", "category": "made\0up", "quantity": 4},
            {"reason": ["made up"], "category": "span", "quantity": 5},
            None,
        ],
        "rate_limited_events": [{"category": "transaction", "quantity": 2}],
        "filtered_events": "none",
    }
    assert read_client_report(item("client_report", orjson.dumps(report))) == [
        ClientReport("error", "queue_overflow", 23),
        ClientReport("default", "other", 4),
        ClientReport("span", "other", 5),
        ClientReport("transaction", "rate_limited_events", 2),
    ]
