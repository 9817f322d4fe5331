"""A bound on request bodies, kept while they arrive: what is too large is never held in memory whole."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsbook.core.http.problems import problem_response

MOST_BODY_BYTES = 1024 * 1024


class BodyTooLarge(HTTPException):
    """More was sent than will be read. An HTTPException, for FastAPI calls other errors in a body malformed."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"a request here has at most {most:,} bytes")


class BodyLimit:
    """Wraps an ASGI app; a body above the limit is answered 413, by length where it is declared, else by count."""

    def __init__(self, app: ASGIApp, most_bytes: int = MOST_BODY_BYTES) -> None:
        self._app = app
        self._most = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def noting(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        declared = Headers(scope=scope).get("content-length", "0")
        try:
            if declared.isdigit() and int(declared) > self._most:
                raise BodyTooLarge(self._most)
            await self._app(scope, self._counted(receive), noting)
        except BodyTooLarge as error:
            if answered:
                raise
            request_id = scope.get("state", {}).get("request_id")
            refusal = problem_response(error.status_code, "Content too large", error.detail, request_id)
            await refusal(scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        read = 0

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise BodyTooLarge(self._most)
            return message

        return counting
