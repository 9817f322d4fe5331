"""A limit on request bodies, kept while they arrive: what is too large is never held in memory whole."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.problems import problem

MAXIMUM_BYTES = 1024 * 1024


class BodyLimit:
    """Answers 413 to a body above the limit; the app behind it receives the body as one message."""

    def __init__(self, app: ASGIApp, maximum_bytes: int = MAXIMUM_BYTES) -> None:
        self.app = app
        self.maximum_bytes = maximum_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        first = await self._whole(receive)
        if first is None:
            response = problem(413, f"The body is larger than {self.maximum_bytes} bytes.", {"connection": "close"})
            await response(scope, receive, send)
            return
        await self.app(scope, _replayed(first, receive), send)

    async def _whole(self, receive: Receive) -> Message | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
            if len(body) > self.maximum_bytes:
                return None
            if not message.get("more_body", False):
                return {"type": "http.request", "body": bytes(body), "more_body": False}


def _replayed(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
