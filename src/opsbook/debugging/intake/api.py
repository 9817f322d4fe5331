"""HTTP of the intake: Sentry's envelope and store endpoints, answered as its Relay does.

Pure ASGI in front of all other routes: what asks here asks thousands of times a second, and finding
its way through the routes of every chapter would take longer than what it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from opsbook.core.errors import OpsbookError
from opsbook.core.http.client_address import UNKNOWN, TrustedProxies
from opsbook.core.runtime import Runtime
from opsbook.debugging.intake.body import INLINE_BYTES
from opsbook.debugging.intake.forwarding import Forwarder
from opsbook.debugging.intake.projects import Project
from opsbook.debugging.intake.receiving import Receipt, Receiver
from opsbook.debugging.intake.refusals import Away, Busy, QuotaUsedUp
from opsbook.debugging.protocol.authentication import read_credentials
from opsbook.debugging.protocol.cross_origin import PREFLIGHT_HEADERS, RESPONSE_HEADERS
from opsbook.debugging.protocol.envelope import Envelope, Item, parse_envelope
from opsbook.debugging.protocol.rate_limits import HEADER, RateLimit, render, retry_after

PATH: Final = re.compile(r"/api/([0-9]{1,18})/(envelope|store)/?")
"""A project's number is a bigint, so that a service keeps its own paths as far as possible."""


class Intake:
    """Answers the paths of the protocol; all others it leaves to `app`."""

    def __init__(self, app: ASGIApp, runtime: Runtime, proxies: TrustedProxies) -> None:
        self._app = app
        self._runtime = runtime
        self._proxies = proxies

    @staticmethod
    def takes(path: str) -> bool:
        """Whether a path is one of the protocol's."""
        return PATH.fullmatch(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if path is None:
            await self._app(scope, receive, send)
            return
        response = await self._answer(Request(scope, receive), int(path[1]), _READERS[path[2]])
        await response(scope, receive, send)

    async def _answer(self, request: Request, project_id: int, read: Callable[[bytes], Envelope]) -> Response:
        if request.method == "OPTIONS":
            return Response(headers=PREFLIGHT_HEADERS)
        if request.method != "POST":
            return _response(405, {"detail": "this takes POST"})
        try:
            receipt = await self._receive(request, project_id, read)
        except OpsbookError as refusal:
            return _refused(refusal)
        return _response(200, {"id": receipt.event_id} if receipt.event_id else {}, receipt.limits)

    async def _receive(self, request: Request, project_id: int, read: Callable[[bytes], Envelope]) -> Receipt:
        receiver = self._runtime.get(Receiver)
        receiver.writer.check()
        project = None
        if "x-sentry-auth" in request.headers or "sentry_key" in request.url.query:
            project = _authenticated(request, receiver, project_id, None)  # before a stranger's body is read
        caller = self._proxies.client_address(request.scope)
        address = None if caller == UNKNOWN else caller
        async with receiver.room.body_of(request, address=address, is_known=project is not None) as body:
            envelope = await receiver.room.work(lambda: read(body), is_small=len(body) <= INLINE_BYTES)
            if project is None or envelope.dsn is not None:
                project = _authenticated(request, receiver, project_id, envelope.dsn)
            receipt = await receiver.receive(project, envelope, address, len(body))
            self._runtime.get(Forwarder).forward(envelope, body)
            return receipt


def _event_alone(body: bytes) -> Envelope:
    """What SDKs sent to `store`, before there were envelopes."""
    return Envelope((Item("event", memoryview(body)),))


_READERS: Final = {"envelope": parse_envelope, "store": _event_alone}


def _authenticated(request: Request, receiver: Receiver, project_id: int, dsn: str | None) -> Project:
    credentials = read_credentials(
        project=str(project_id),
        sentry_header=request.headers.get("x-sentry-auth"),
        authorization=request.headers.get("authorization"),
        query=request.url.query,
        envelope_dsn=dsn,
    )
    return receiver.projects.find(project_id, credentials.key)


def _refused(refusal: OpsbookError) -> Response:
    limits = (refusal.limit,) if isinstance(refusal, Away | Busy | QuotaUsedUp) else ()
    return _response(refusal.status, {"detail": str(refusal)}, limits)


def _response(status: int, body: object, limits: Sequence[RateLimit] = ()) -> Response:
    headers = dict(RESPONSE_HEADERS)
    if limits:
        headers[HEADER] = render(limits)
        headers["Retry-After"] = str(retry_after(limits))
    return Response(orjson.dumps(body), status, headers, "application/json")
