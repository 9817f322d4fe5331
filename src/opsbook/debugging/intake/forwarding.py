"""Passes what was accepted on to a Sentry as well, where SENTRY_DSN names one.

In the background, from a bounded queue: nobody waits for the other side, and what it has no room
for is dropped and counted in the log. Envelopes go on as they came, since they were meant for a
Sentry; its own scrubbing applies there.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

import httpx
import orjson

from opsbook.core.log import get_logger
from opsbook.debugging.intake.projects import Projects
from opsbook.debugging.protocol.authentication import Dsn
from opsbook.debugging.protocol.envelope import Envelope
from opsbook.debugging.protocol.rate_limits import DEFAULT_SECONDS, HEADER, parse

MOST_WAITING: Final = 500
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
PATIENCE_SECONDS: Final = 10.0
_REPORT_SECONDS: Final = 60.0

log = get_logger(__name__)


class Forwarder:
    """One process's queue to another Sentry; without a DSN, or with one that leads here, it forwards nothing."""

    def __init__(self, dsn: Dsn | None, sdk: str, projects: Projects) -> None:
        self._dsn = dsn
        self._projects = projects
        self._sdk = sdk
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._held_until = 0.0
        self._dropped = 0
        self._reported_at = 0.0

    def forward(self, envelope: Envelope, body: bytes) -> None:
        """Queue an envelope, or the event that was sent alone, for the other side."""
        if self._dsn is None or self._projects.is_ours(self._dsn.key):
            return
        is_full = len(self._waiting) >= MOST_WAITING or self._waiting_bytes + len(body) > MOST_WAITING_BYTES
        if is_full or time.monotonic() < self._held_until:
            self._dropped += 1
            return
        self._waiting.append(_addressed(envelope, body))
        self._waiting_bytes += len(self._waiting[-1])
        self._news.set()

    async def run(self) -> None:
        """Post what is queued until cancelled."""
        if self._dsn is None:
            return
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            while True:
                await self._news.wait()
                while self._waiting:
                    body = self._waiting.popleft()
                    self._waiting_bytes -= len(body)
                    await self._post(client, self._dsn, body)
                    self._report()
                self._news.clear()

    async def _post(self, client: httpx.AsyncClient, dsn: Dsn, body: bytes) -> None:
        credentials = f"Sentry sentry_version=7,sentry_client={self._sdk},sentry_key={dsn.key}"
        headers = {"X-Sentry-Auth": credentials, "Content-Type": "application/x-sentry-envelope"}
        try:
            answer = await client.post(dsn.url(), content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            self._dropped += 1
            self._held_until = time.monotonic() + PATIENCE_SECONDS
            return
        if not answer.is_success:
            self._dropped += 1
        limits = [limit.seconds for limit in parse(answer.headers.get(HEADER, "")) if not limit.categories]
        if answer.status_code == 429:
            limits.append(DEFAULT_SECONDS)
        if limits:
            self._held_until = time.monotonic() + max(limits)

    def _report(self) -> None:
        if self._dropped and time.monotonic() - self._reported_at >= _REPORT_SECONDS:
            log.warning("envelopes_not_forwarded", dropped=self._dropped)
            self._dropped, self._reported_at = 0, time.monotonic()


def _addressed(envelope: Envelope, body: bytes) -> bytes:
    """The body as an envelope whose header names no DSN: ours would not be theirs."""
    if not body.startswith(b"{") or (len(envelope.items) == 1 and len(envelope.items[0].payload) == len(body)):
        event = orjson.dumps({"type": "event", "length": len(body)})
        return b"{}\n" + event + b"\n" + body
    line, _, rest = body.partition(b"\n")
    if envelope.dsn is None:
        return body
    headers = orjson.loads(line)
    headers.pop("dsn", None)
    return orjson.dumps(headers) + b"\n" + rest
