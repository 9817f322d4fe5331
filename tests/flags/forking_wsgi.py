"""A WSGI application that made its flags when it was imported, and used them before the server forked."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

from tests.flags.forking import flags

assert flags.wait_until_ready(10)


def application(_: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Which process answers, and what the flag is to it; slow enough for others to go to another process."""
    time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {'on' if flags.enabled('forked') else 'off'}".encode()]
