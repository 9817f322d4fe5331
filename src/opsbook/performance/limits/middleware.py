"""Rate limits in front of an ASGI app, and on single routes of a FastAPI app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

import orjson
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsbook.performance.limits.answer import Item, headers_of, out_of_service, refusal
from opsbook.performance.limits.limiter import RateLimits, Verdict
from opsbook.performance.limits.policy import RateLimit

_SCOPE_KEY = "opsbook.rate_limits"


class LimitMiddleware:
    """Pure ASGI: answers 429 to whoever asks too often, and tells everybody how they stand.

    Args:
        app: What is limited.
        limits: The policies that hold for every request, or a `RateLimits` that has them.
    """

    def __init__(self, app: ASGIApp, limits: RateLimits | Sequence[RateLimit] = ()) -> None:
        self._app = app
        self._limits = limits if isinstance(limits, RateLimits) else RateLimits(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = scope[_SCOPE_KEY] = _Passage(self._limits, send)
        try:
            if self._limits.everywhere:
                await passage.check(scope, self._limits.everywhere)
            await self._app(scope, receive, passage.send)
        except Exception:
            # Not by its type: on its way out of the app a refusal may have been wrapped, or turned into another.
            if passage.refused is None:
                raise
        if passage.refused is not None:
            await passage.refused.response(passage.items, scope)(scope, receive, send)


def limited(*policies: RateLimit) -> Callable[[Request], Awaitable[None]]:
    """A dependency that limits single routes: `@app.post("/sign-in", dependencies=[Depends(limited(policy))])`.

    It runs where it stands among the dependencies: after one that says who signed in, a policy by user goes by them.
    """
    return _OnRoute(policies)


def policies_on_routes(app: Starlette) -> Iterator[RateLimit]:
    """The policies of an app's single routes, so that operators see them before the first request."""
    for context in iter_route_contexts(app.routes):
        waiting = [getattr(context, "dependant", None)]
        while waiting:
            dependant = waiting.pop()
            if isinstance(dependant, Dependant):
                waiting += dependant.dependencies
                if isinstance(dependant.call, _OnRoute):
                    yield from dependant.call.policies


class _OnRoute:
    """The dependency; in an app without LimitMiddleware it counts by itself, in memory."""

    def __init__(self, policies: Sequence[RateLimit]) -> None:
        self.policies = policies
        self._own: RateLimits | None = None

    async def __call__(self, request: Request) -> None:
        passage = request.scope.get(_SCOPE_KEY)
        if passage is not None:
            passage.limits.declare(*self.policies)
            await passage.check(request.scope, self.policies)
            return
        self._own = self._own or RateLimits(self.policies)
        verdict = await self._own.check(request.scope, self.policies)
        if verdict.is_refused:
            raise _as_http(NotAdmitted(verdict).response(verdict.items, request.scope))


class NotAdmitted(Exception):
    """A request is not let through; LimitMiddleware answers it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__("rate limit exceeded")
        self._verdict = verdict

    def response(self, items: Sequence[Item], scope: Scope) -> Response:
        """429, or 503 where nothing can be counted."""
        request_id = scope.get("state", {}).get("request_id")
        if self._verdict.uncounted:
            return out_of_service(self._verdict.uncounted, request_id)
        response = refusal(self._verdict.items, request_id)
        response.raw_headers += headers_of(items)
        return response


class _Passage:
    """One request's way through: who limits it, and how it stands with each of them."""

    __slots__ = ("_send", "items", "limits", "refused")

    def __init__(self, limits: RateLimits, send: Send) -> None:
        self.limits = limits
        self.items: list[Item] = []
        self.refused: NotAdmitted | None = None
        self._send = send

    async def check(self, scope: Scope, policies: Sequence[RateLimit]) -> None:
        verdict = await self.limits.check(scope, policies)
        self.items += verdict.items
        if verdict.is_refused:
            self.refused = NotAdmitted(verdict)
            raise self.refused

    async def send(self, message: Message) -> None:
        if self.refused is not None:
            return  # an app that takes it for a failure says 500
        if self.items and message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers_of(self.items)]}
        await self._send(message)


def _as_http(response: Response) -> HTTPException:
    """Without the middleware nobody writes our answer: FastAPI's own, with its headers."""
    ours = ((name, value) for name, value in response.raw_headers if not name.startswith(b"content-"))
    detail = orjson.loads(response.body)["detail"]
    return HTTPException(response.status_code, detail, {name.decode(): value.decode() for name, value in ours})
