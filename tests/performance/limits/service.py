"""A limited service in the test's own process, with its Opsbook; and the patience to see it obey."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import httpx
from fastapi import Depends, FastAPI

import opsbook
from opsbook.core.settings import Settings
from opsbook.performance import RateLimit, RateLimits
from opsbook.performance.limits import reporting
from tests.serving import serving_app

DEADLINE_SECONDS = 20.0


@dataclass(frozen=True)
class Service:
    """A client of it, and its limits."""

    client: httpx.Client
    limits: RateLimits

    def statuses(self, times: int, path: str = "/") -> Sequence[int]:
        return [self.client.get(path).status_code for _ in range(times)]

    def limit_in_force(self) -> int:
        """The first window's limit, as the header says, 0 where there is none; takes one request."""
        return _number(self.client.get("/").headers.get("ratelimit-policy", ""), "q")

    def remaining(self) -> int:
        """What is left in the first window; takes one request."""
        return _number(self.client.get("/").headers["ratelimit"], "r")


@contextmanager
def limited_service(settings: Settings, *limits: RateLimit, route: RateLimit | None = None) -> Iterator[Service]:
    """A service with these limits for all requests, and one for `/route`."""
    app = FastAPI()

    @app.get("/")
    def root() -> str:
        return "well"

    @app.get("/route", dependencies=[Depends(opsbook.limited(route))] if route else [])
    def limited_route() -> str:
        return "well"

    book = opsbook.install(app, limits=limits, settings=settings)
    with (
        patch.object(reporting, "_EVERY_SECONDS", 0.3),
        serving_app(app) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        yield Service(client, book.limits)


def _number(field: str, parameter: str) -> int:
    found = re.search(rf";{parameter}=(\d+)", field)
    return int(found[1]) if found else 0


def until(holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)
