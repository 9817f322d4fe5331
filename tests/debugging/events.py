"""Events for the tests of the debugging chapter, as SDKs write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson

from opsbook.debugging.protocol.document import read_document
from opsbook.debugging.protocol.event import Event, read_event

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(**attributes: Any) -> Event:
    """The event with these attributes, received at `NOW`."""
    return event_of(json.dumps(attributes).encode())


def event_of(raw: bytes) -> Event:
    return read_event(read_document(raw), received_at=NOW)


def frame(module: str, function: str, line: str | None = None, *, in_app: bool | None = True) -> dict[str, Any]:
    """A frame as the Python SDK writes it."""
    path = module.replace(".", "/") + ".py"
    return {
        "module": module,
        "function": function,
        "filename": path,
        "abs_path": f"/srv/app/{path}",
        "context_line": line,
        "lineno": 10,
        "in_app": in_app,
    }


def raised(kind: str, value: str, *frames: dict[str, Any]) -> dict[str, Any]:
    """An exception of a chain."""
    return {"type": kind, "value": value, "stacktrace": {"frames": list(frames)}}


def python_event(size_bytes: int = 10_000) -> bytes:
    """An ordinary event of about that size, without anything to scrub."""
    line = "    total = sum(position.amount for position in order.positions)"
    frames = [
        {
            **frame(f"shop.orders.step_{number}", f"handle_{number}", line, in_app=number % 2 == 0),
            "pre_context": [f"def handle_{number}(order):", '    """Adds it up."""'],
            "post_context": ["    return total", ""],
            "vars": {"order": f"<Order {number}>", "positions": ["'book'", "'pen'"], "amount": "12.50"},
        }
        for number in range(max(1, size_bytes // 560))
    ]
    return orjson.dumps(
        {
            "event_id": "0123456789abcdef0123456789abcdef",
            "timestamp": "2026-03-01T11:59:58.123456Z",
            "platform": "python",
            "level": "error",
            "environment": "staging",
            "release": "shop@1.4.2",
            "server_name": "web-3",
            "transaction": "/orders/{order_id}",
            "user": {"id": "42"},
            "tags": {"plan": "pro"},
            "contexts": {"trace": {"trace_id": "a" * 32, "span_id": "b" * 16}},
            "breadcrumbs": {"values": [{"category": "query", "message": f"select {n}"} for n in range(10)]},
            "exception": {"values": [raised("KeyError", "'EUR'", *frames)]},
            "sdk": {"name": "sentry.python", "version": "2.0.0"},
        }
    )
