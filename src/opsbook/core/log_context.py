"""For which request, trace and user this code works: what every log line of a request carries.

The context of a request is one object that all of its tasks and threads share, so that what a dependency in
another thread finds out (who is signed in) stands in the lines that come after, wherever they are written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""W3C Trace Context, 3.2: version, trace, parent, flags; later versions may add more."""
_SENTRY_TRACE = re.compile(r"(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}(?:-[01]?)?")
"""Sentry's header: trace, span, and whether it was sampled."""
_LONGEST_ID = 200


@dataclass(slots=True)
class LogContext:
    """What is known of the request that is being served."""

    request_id: str
    trace_id: str | None = None
    """32 hexadecimal digits."""
    user_id: str | None = None

    def fields(self) -> Mapping[str, str]:
        """What is known, by its name in a log line."""
        named = (("request_id", self.request_id), ("trace_id", self.trace_id), ("user_id", self.user_id))
        return {name: value for name, value in named if value}


CURRENT: ContextVar[LogContext | None] = ContextVar("opsbook_log_context", default=None)
"""The request that this task or thread works for; None outside of requests."""


def set_user(user_id: object) -> None:
    """Say whom the present request is for: their id stands in each of its log lines from here on."""
    if context := CURRENT.get():
        context.user_id = str(user_id)[:_LONGEST_ID] or None


def trace_of(traceparent: str | None, sentry_trace: str | None) -> str | None:
    """The trace that a request belongs to by the headers of these names; None where neither is well-formed."""
    for header, pattern in ((traceparent, _TRACEPARENT), (sentry_trace, _SENTRY_TRACE)):
        if header is not None and (found := pattern.fullmatch(header.strip())):
            return found[1]
    return None
