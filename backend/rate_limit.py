"""Rate limits: how often one address may ask this process, by the minute and by the hour."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter

from fastapi import Request

from backend.config import settings
from backend.problems import Problem

RATE_LIMIT_PER_MINUTE = 60
RATE_LIMIT_PER_HOUR = 1000

_MOST_CLIENTS = 100_000


class Window:
    """Counts requests by client in fixed stretches of time; counting starts afresh with each."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._number = 0
        self._counts: Counter[str] = Counter()

    def count(self, client: str, now: float) -> int:
        """Requests of that client in this stretch, this one included."""
        number = int(now // self.seconds)
        if number != self._number or len(self._counts) > _MOST_CLIENTS:
            self._number, self._counts = number, Counter()
        self._counts[client] += 1
        return self._counts[client]

    def remaining_seconds(self, now: float) -> int:
        """Until the next stretch begins."""
        return self.seconds - int(now % self.seconds)


_minute, _hour = Window(60), Window(3600)


async def rate_limited(request: Request) -> None:
    """A dependency that answers 429 to an address that asks too often."""
    now = time.time()
    client = _client(request)
    for window, limit in (
        (_minute, settings.rate_limit_per_minute or RATE_LIMIT_PER_MINUTE),
        (_hour, settings.rate_limit_per_hour or RATE_LIMIT_PER_HOUR),
    ):
        if window.count(client, now) > limit:
            wait = window.remaining_seconds(now)
            raise Problem(429, f"More than {limit} requests in {window.seconds} seconds.", {"retry-after": str(wait)})


def _client(request: Request) -> str:
    """The address; for IPv6 its /64, since one subscriber has all of it."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.IPv6Network((int(address), 64), strict=False))
