"""Pure ASGI: refuses whoever calls from a blocked address, before anything else is done for it."""

from __future__ import annotations

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsbook.core.http.client_address import TrustedProxies
from opsbook.performance.blocks.register import AddressBlocks

_BODY = orjson.dumps(
    {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "requests from your address are not accepted",
    }
)
"""The same for everybody: why an address is blocked, and until when, is not its business."""
_HEADERS = [
    (b"content-type", b"application/problem+json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"cache-control", b"no-store"),
]
_POLICY_VIOLATION = 1008
"""RFC 6455, 7.4.1; before a WebSocket is accepted, servers answer 403 instead."""


class RefuseBlocked:
    """Wraps an ASGI app; a blocked caller is answered 403, and its connection closed, unread."""

    def __init__(self, app: ASGIApp, blocks: AddressBlocks, proxies: TrustedProxies | None = None) -> None:
        """Stand before `app`.

        Args:
            app: What is guarded.
            blocks: What is blocked.
            proxies: Whose word on the caller's address counts; nobody's where left out.
        """
        self._app = app
        self._blocks = blocks
        self._proxies = proxies or TrustedProxies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Every address that it may have: two headers that disagree must not be a way around a block.
        if scope["type"] in ("http", "websocket") and self._blocks.refuses(self._proxies.claimed_addresses(scope)):
            await _refuse(scope, send)
            return
        await self._app(scope, receive, send)


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    # Connections are HTTP/1's to close (RFC 9113, 8.2.2).
    closing = [(b"connection", b"close")] if scope.get("http_version", "1.1").startswith("1") else []
    start: Message = {"type": "http.response.start", "status": 403, "headers": [*_HEADERS, *closing]}
    await send(start)
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else _BODY})
