"""What Opsbook in front of a FastAPI service adds to each of the service's own requests."""

from __future__ import annotations

import asyncio
import json
import statistics
import time

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Scope

import opsbook
from opsbook.core.settings import load_settings

ROUNDS = 5000
TARGET_MICROSECONDS = 25.0

SCOPE: Scope = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/items/7",
    "raw_path": b"/items/7",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost")],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000),
}


def main() -> None:
    """Call both in turns, in this process, so that a busy moment hits both alike."""
    with_it = service()
    opsbook.install(with_it, settings=load_settings(ops_database_url="postgresql://nobody@127.0.0.1:1/none"))
    bare, fronted = asyncio.run(times(service(), with_it))
    added = fronted - bare
    what = f"added to a FastAPI request of {bare:.0f} µs, medians of {ROUNDS} in-process calls"
    figure = {"name": "middleware", "what": what, "value": round(added, 2), "unit": "µs", "target": TARGET_MICROSECONDS}
    print(json.dumps(figure))


def service() -> FastAPI:
    """A service with one plain route."""
    app = FastAPI()

    @app.get("/items/{number}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    return app


async def times(bare: ASGIApp, fronted: ASGIApp) -> tuple[float, float]:
    """The median microseconds of a request to each."""
    measured: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for app, into in zip((bare, fronted), measured, strict=True):
            started = time.perf_counter()
            await app({**SCOPE}, receive, send)
            into.append((time.perf_counter() - started) * 1e6)
    return statistics.median(measured[0]), statistics.median(measured[1])


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    if message["type"] == "http.response.start":
        assert message["status"] == 200


if __name__ == "__main__":
    main()
