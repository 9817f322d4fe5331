"""A FastAPI service to ask in this process, and what a layer before it adds to a request."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Mapping, Sequence

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Scope


def service() -> FastAPI:
    """One route, which does nothing."""
    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"hello": "world"}

    return app


async def costs(
    layered: Mapping[str, ASGIApp], bare: ASGIApp, rounds: Sequence[Sequence[str]], *, at_once: bool = False
) -> dict[str, float]:
    """Microseconds that each adds to a request: the services take turns, and the median of the differences counts.

    Args:
        layered: The services, by name.
        bare: The service without the layer.
        rounds: For each round, the addresses that one request each comes from.
        at_once: Whether the requests of a round come all at once, instead of one after the other.
    """
    added: dict[str, list[float]] = {name: [] for name in layered}
    for addresses in rounds:
        without = await a_round(bare, addresses, at_once=at_once)
        for name, app in layered.items():
            added[name].append(await a_round(app, addresses, at_once=at_once) - without)
    return {name: statistics.median(differences) for name, differences in added.items()}


async def a_round(app: ASGIApp, addresses: Sequence[str], *, at_once: bool) -> float:
    """Microseconds a request, mean of a round."""
    began = time.perf_counter()
    if at_once:
        await asyncio.gather(*(request(app, address) for address in addresses))
    else:
        for address in addresses:
            await request(app, address)
    return (time.perf_counter() - began) / len(addresses) * 1e6


def request(app: ASGIApp, address: str) -> Awaitable[None]:
    """One request from an address, which is to succeed."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": (address, 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    return app(scope, receive, send)


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    assert message.get("status", 200) == 200
