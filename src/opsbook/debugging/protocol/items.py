"""Item types: what is stored, what is only counted, in which category, and how large one may be.

Types and categories are those of the published protocol; limits follow it too, except that an
event may be larger than Sentry's megabyte: what an SDK failed to shorten is shortened here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, cast

import msgspec
import orjson

from opsbook.debugging.protocol.envelope import Item
from opsbook.debugging.protocol.errors import Malformed, TooLarge

KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024 * KIBIBYTE

CONTAINERS: Final = {
    "log": "application/vnd.sentry.items.log+json",
    "span": "application/vnd.sentry.items.span.v2+json",
    "trace_metric": "application/vnd.sentry.items.trace_metric+json",
}
"""Types whose items may come many at once, as `{"items": [...]}`, and the content type that says so."""


class Treatment(Enum):
    """What becomes of an item."""

    STORE = "store"
    COUNT = "count"


class Kind(msgspec.Struct, frozen=True):
    """How a type of item is treated; `category` is the name that rate limits and client reports use."""

    category: str
    treatment: Treatment
    most_bytes: int


_COUNT, _STORE = Treatment.COUNT, Treatment.STORE

KINDS: Final = {
    "event": Kind("error", _STORE, 16 * MEBIBYTE),
    "feedback": Kind("feedback", _STORE, MEBIBYTE),
    "user_report": Kind("feedback", _STORE, MEBIBYTE),
    "check_in": Kind("monitor", _STORE, 100 * KIBIBYTE),
    "log": Kind("log_item", _STORE, 4 * MEBIBYTE),
    "client_report": Kind("internal", _COUNT, 64 * KIBIBYTE),
    "transaction": Kind("transaction", _COUNT, 4 * MEBIBYTE),
    "span": Kind("span", _COUNT, 4 * MEBIBYTE),
    "trace_metric": Kind("trace_metric", _COUNT, 4 * MEBIBYTE),
    "session": Kind("session", _COUNT, MEBIBYTE),
    "sessions": Kind("session", _COUNT, MEBIBYTE),
    "security": Kind("security", _COUNT, MEBIBYTE),
    "raw_security": Kind("security", _COUNT, MEBIBYTE),
    "nel": Kind("security", _COUNT, MEBIBYTE),
    "attachment": Kind("attachment", _COUNT, 100 * MEBIBYTE),
    "form_data": Kind("attachment", _COUNT, MEBIBYTE),
    "unreal_report": Kind("attachment", _COUNT, 100 * MEBIBYTE),
    "profile": Kind("profile", _COUNT, 50 * MEBIBYTE),
    "profile_chunk": Kind("profile_chunk", _COUNT, 50 * MEBIBYTE),
    "profile_chunk_ui": Kind("profile_chunk_ui", _COUNT, 50 * MEBIBYTE),
    "replay_event": Kind("replay", _COUNT, MEBIBYTE),
    "replay_recording": Kind("replay", _COUNT, 100 * MEBIBYTE),
    "replay_video": Kind("replay", _COUNT, 100 * MEBIBYTE),
    "statsd": Kind("metric_bucket", _COUNT, MEBIBYTE),
    "metric_buckets": Kind("metric_bucket", _COUNT, MEBIBYTE),
    "metric_meta": Kind("metric_bucket", _COUNT, MEBIBYTE),
    "otel_span": Kind("span", _COUNT, MEBIBYTE),
    "otel_log": Kind("log_item", _COUNT, MEBIBYTE),
}

CATEGORIES: Final = frozenset(
    {kind.category for kind in KINDS.values()} | {"default", "log_byte", "profile_duration", "trace_metric_byte"}
)
REASONS: Final = frozenset(
    {
        "queue_overflow", "cache_overflow", "buffer_overflow", "ratelimit_backoff", "network_error", "sample_rate",
        "before_send", "event_processor", "ignored", "send_error", "internal_sdk_error", "insufficient_data",
        "backpressure", "no_parent_span", "invalid",
    }
)  # fmt: skip
"""Why SDKs say that they dropped something ("Client Reports" under develop.sentry.dev/sdk)."""

UNKNOWN: Final = Kind("default", _COUNT, 100 * MEBIBYTE)
"""A type that is newer than this list: counted, never refused."""


class ClientReport(msgspec.Struct, frozen=True):
    """What an SDK dropped before sending: how many, of which category, why."""

    category: str
    reason: str
    quantity: int


def kind_of(item: Item) -> Kind:
    """How this item is treated."""
    return KINDS.get(item.type, UNKNOWN)


def check_size(item: Item) -> None:
    """Raises `TooLarge` for an item above its type's limit."""
    most = kind_of(item).most_bytes
    if len(item.payload) > most:
        raise TooLarge(f"an item of type {item.type[:40]!r} has at most {most:,} bytes, this one {len(item.payload):,}")


def quantity(item: Item) -> int:
    """How many things the item stands for: those of its container, as far as they fit into it, else one."""
    return min(item.item_count, len(item.payload)) if item.item_count is not None and is_container(item) else 1


def is_container(item: Item) -> bool:
    """Whether the payload is `{"items": [...]}`."""
    return item.type in CONTAINERS and item.content_type == CONTAINERS[item.type]


def read_container(item: Item) -> list[dict[str, Any]]:
    """The objects in a container, or the one object of an item that is none.

    Raises `Malformed` where there are not as many as `item_count` says, or they are no objects.
    """
    document = read_object(item)
    if not is_container(item):
        return [document]
    things = document.get("items")
    if not isinstance(things, list) or not all(isinstance(thing, dict) for thing in cast("list[object]", things)):
        raise Malformed(f"an item of type {item.type!r} is no container of objects")
    objects = cast("list[dict[str, Any]]", things)
    if item.item_count != len(objects):
        raise Malformed(f"a container of type {item.type!r} states {item.item_count} items and has {len(objects)}")
    return objects


def read_object(item: Item) -> dict[str, Any]:
    """A payload that is one JSON object. Raises `Malformed`."""
    try:
        document: object = orjson.loads(item.payload)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"an item of type {item.type[:40]!r} is not JSON") from error
    if not isinstance(document, dict):
        raise Malformed(f"an item of type {item.type[:40]!r} is not a JSON object")
    return cast("dict[str, Any]", document)


def read_client_report(item: Item) -> list[ClientReport]:
    """What the SDK says it dropped; entries that make no sense are passed over.

    Categories and reasons that the protocol does not have become `default` and `other`: a sender must not fill
    the counts with names that it makes up.
    """
    document = read_object(item)
    reports: list[ClientReport] = []
    for name in ("discarded_events", "rate_limited_events", "filtered_events", "filtered_sampling_events"):
        for entry in _objects(document.get(name)):
            category, reason, count = entry.get("category"), entry.get("reason"), entry.get("quantity")
            if isinstance(category, str) and isinstance(count, int) and 0 < count < 2**31:
                known = category if category in CATEGORIES else "default"
                reports.append(ClientReport(known, _reason(reason) if reason else name, count))
    return reports


def _reason(given: object) -> str:
    return given if isinstance(given, str) and given in REASONS else "other"


def _objects(value: object) -> Iterable[dict[str, Any]]:
    if isinstance(value, list):
        for entry in cast("list[object]", value):
            if isinstance(entry, dict):
                yield cast("dict[str, Any]", entry)
