"""Waiting until a web child answers, or has failed to."""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

from opsbook.core.errors import Unavailable
from opsbook.core.supervision.processes import Process

LIVE_SECONDS = 60.0
READY_SECONDS = 3.0
"""Readiness is waited for only this long: a check that warns must not hold back the address."""


class NotLive(Unavailable):
    """The service does not answer as it should."""

    title = "The service did not start"


def wait_until_live(address: str, process: Process) -> None:
    """Wait until `/api/livez` answers 200.

    Raises:
        NotLive: The process ended, answers otherwise, or kept silent too long.
    """
    deadline = time.monotonic() + LIVE_SECONDS
    while (status := _status(address, "/api/livez")) != 200:
        if process.poll() is not None:
            raise NotLive(f"it ended with exit code {process.returncode}; its own words are above")
        if status == 404:
            raise NotLive("it answers, but without Opsbook: add `opsbook.install(app)` to backend/main.py")
        if time.monotonic() > deadline:
            raise NotLive(f"no answer from {address}/api/livez within {LIVE_SECONDS:.0f} s")
        time.sleep(0.03)


def wait_until_ready(address: str) -> None:
    """Give `/api/readyz` a moment to answer 200."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and _status(address, "/api/readyz") not in (200, 404):
        time.sleep(0.03)


def _status(address: str, path: str) -> int | None:
    """The HTTP status of a GET, None where nobody answers."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
