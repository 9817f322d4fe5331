"""Pure ASGI around Opsbook's own routes: a request id, a bound on the body, the scheme, a log line.

The request id is the caller's where it is well-formed, else new; it stands in the
response, in every log line and in the audit.
"""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsbook.core.http.body_limit import BodyLimit
from opsbook.core.http.client_address import TrustedProxies
from opsbook.core.log import get_logger

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9_.:-]{8,128}")

log = get_logger("opsbook.http")


class RequestContext:
    """Wraps an ASGI app; `scope["state"]["request_id"]` is set for everything inside."""

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = BodyLimit(app)
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = _Answer(send, _request_id(headers))
        _read_as_json(scope, headers)
        scope["scheme"] = self._proxies.scheme(scope)
        scope["state"] = {**scope.get("state", {}), "request_id": answer.request_id}
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            try:
                await self._app(scope, receive, answer)
            finally:
                log.debug(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=answer.status,
                    milliseconds=answer.milliseconds,
                )


class _Answer:
    """Sends on, noting the status and putting in the request id."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._started = time.perf_counter()
        self.request_id = request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self.request_id
        await self._send(message)

    @property
    def milliseconds(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 1)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _WELL_FORMED_ID.fullmatch(given) else secrets.token_hex(16)


def _read_as_json(scope: Scope, headers: Headers) -> None:
    """Take `curl -d '{…}'` at its word: it says "form", but the API has no forms, only JSON.

    Safe, because the API heeds no cookies: a form on another site has no bearer token to send.
    """
    form = headers.get("content-type", "").partition(";")[0].strip().lower() in (
        "application/x-www-form-urlencoded",
        "",
    )
    if form and scope["path"].startswith("/api/") and scope["method"] in ("POST", "PUT", "PATCH"):
        kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        scope["headers"] = [*kept, (b"content-type", b"application/json")]
