"""Pure ASGI: gives a request its id and its trace, which stand in every line that is logged for it, and logs it.

The request id is the caller's where it is well-formed, else new.
"""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsbook.core.log import get_logger
from opsbook.core.log_context import CURRENT, LogContext, trace_of

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9_.:-]{8,128}")

log = get_logger("opsbook.http")


class RequestLog:
    """Wraps an ASGI app.

    Of our own app the answers tell the id, and so does `scope["state"]["request_id"]` inside, for the audit. A
    service's requests and answers are its own: they pass as they are.
    """

    def __init__(self, app: ASGIApp, *, ours: bool = True) -> None:
        self._app = app
        self._ours = ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        answer = _Answer(send, request_id if self._ours else None)
        if self._ours:
            scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        trace_id = trace_of(headers.get("traceparent"), headers.get("sentry-trace"))
        before = CURRENT.set(LogContext(request_id, trace_id))
        try:
            await self._app(scope, receive, answer)
        finally:
            answer.log(scope)
        # Not where the app failed: the server, in whose task this runs, then logs why, and that line is the request's.
        CURRENT.reset(before)


class _Answer:
    """Sends on, noting the status, and puts in the request id where there is one to tell."""

    def __init__(self, send: Send, request_id: str | None) -> None:
        self._send = send
        self._request_id = request_id
        self._started = time.perf_counter()
        self._status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._request_id is not None:
                MutableHeaders(scope=message)["X-Request-ID"] = self._request_id
        await self._send(message)

    def log(self, scope: Scope) -> None:
        milliseconds = round((time.perf_counter() - self._started) * 1000, 1)
        about = {"method": scope["method"], "path": scope["path"], "status": self._status}
        log.debug("request", **about, milliseconds=milliseconds)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _WELL_FORMED_ID.fullmatch(given) else secrets.token_hex(16)
