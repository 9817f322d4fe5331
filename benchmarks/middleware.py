"""What `opsbook.install(app)` adds to a request of the service's own, and what asking for a flag in it costs."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Scope

import opsbook
from opsbook.core.settings import load_settings

ROUNDS = 600
REQUESTS_A_ROUND = 50
EVALUATIONS = 200_000
TARGET_MICROSECONDS = 25
NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"


def main() -> None:
    """Call the same route with and without, in turn, and compare the fastest rounds.

    What else the machine does only ever adds time, and by far more than the layer costs: the fastest
    rounds come closest to the cost itself. A second service without it shows how close that is.
    """
    with tempfile.TemporaryDirectory() as home:
        settings = load_settings(ops_database_url=NOWHERE, database_url=NOWHERE, home=Path(home))
        plain, again, installed = service(), service(), service()
        book = opsbook.install(installed, settings=settings)
        bare, control, ours = asyncio.run(fastest(plain, again, installed))
        figure(
            "middleware",
            f"`opsbook.install` on a FastAPI request, fastest of {ROUNDS} rounds of {REQUESTS_A_ROUND}",
            ours - bare,
            f"the request without it {bare:.1f} µs; two alike differ by {abs(control - bare):.2f} µs",
        )
        began = time.perf_counter()
        for _ in range(EVALUATIONS):
            book.flags.enabled("new-checkout", user_id="u1")
        each = (time.perf_counter() - began) / EVALUATIONS * 1e6
        figure(
            "flag_unknown",
            f"`flags.enabled` of an unknown flag, every database gone, mean of {EVALUATIONS:,}",
            each,
            None,
            target=None,
        )
        book.flags.close()


def service() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"hello": "world"}

    return app


async def fastest(*services: ASGIApp) -> list[float]:
    """Microseconds a request in the fastest round of each; the services take turns."""
    rounds = [[await a_round(app) for app in services] for _ in range(ROUNDS)]
    return [min(of_one) for of_one in zip(*rounds, strict=True)]


async def a_round(app: ASGIApp) -> float:
    """Microseconds a request, mean of a round."""
    began = time.perf_counter()
    for _ in range(REQUESTS_A_ROUND):
        await request(app)
    return (time.perf_counter() - began) / REQUESTS_A_ROUND * 1e6


async def request(app: ASGIApp) -> None:
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
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    assert message.get("status", 200) == 200


def figure(name: str, what: str, value: float, peer: str | None, target: float | None = TARGET_MICROSECONDS) -> None:
    print(
        json.dumps({"name": name, "what": what, "value": round(value, 2), "unit": "µs", "target": target, "peer": peer})
    )


if __name__ == "__main__":
    main()
