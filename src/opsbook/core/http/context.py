"""Pure ASGI around Opsbook's own routes: a request id, the scheme as the caller sees it, a bound, a log line."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from opsbook.core.http.body_limit import BodyLimit
from opsbook.core.http.client_address import TrustedProxies
from opsbook.core.http.request_log import RequestLog


class RequestContext:
    """Wraps an ASGI app; `scope["state"]["request_id"]` is set for everything inside."""

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = RequestLog(BodyLimit(app))
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _read_as_json(scope, Headers(scope=scope))
            scope["scheme"] = self._proxies.scheme(scope)
        await self._app(scope, receive, send)


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
