"""Tickets to the event stream: they stand in its address, since a browser's EventSource sends no headers.

A ticket says whose token it was given for and until when it opens the stream, sealed by HMAC-SHA-256.
Its end lies on a quarter of an hour, so that addresses change seldom and a client keeps its connection.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from opsbook.core.errors import Unauthorized

ADMIN = 0
"""Stands for ADMIN_TOKEN, which has no number."""

_STEP_SECONDS = 900
_FORM = re.compile(r"(\d{1,18})\.(\d{1,12})\.([0-9a-f]{64})", re.ASCII)


def write_ticket(key: bytes, token_id: int, now: float) -> str:
    """A ticket that is good for the next 15 to 30 minutes."""
    said = f"{token_id}.{(int(now) // _STEP_SECONDS + 2) * _STEP_SECONDS}"
    return f"{said}.{_seal(key, said)}"


def read_ticket(key: bytes, ticket: str, now: float) -> int:
    """The number of the token that it was given for.

    Raises:
        Unauthorized: It is forged, or has run out.
    """
    found = _FORM.fullmatch(ticket)
    if found is None or not hmac.compare_digest(found[3], _seal(key, f"{found[1]}.{found[2]}")):
        raise Unauthorized("this ticket is not of ours; a bulk evaluation gives a new one")
    if int(found[2]) <= now:
        raise Unauthorized("this ticket has run out; a bulk evaluation gives a new one")
    return int(found[1])


def _seal(key: bytes, said: str) -> str:
    return hmac.new(key, f"ofrep-stream:{said}".encode(), hashlib.sha256).hexdigest()
