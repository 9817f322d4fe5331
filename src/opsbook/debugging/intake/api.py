"""HTTP of the intake: Sentry's envelope and store endpoints, answered as its Relay does.

Plain Starlette routes: what asks here asks thousands of times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from fastapi import APIRouter
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from opsbook.core.errors import OpsbookError
from opsbook.core.log import get_logger
from opsbook.core.runtime import runtime_of
from opsbook.debugging.intake.forwarding import Forwarder
from opsbook.debugging.intake.projects import Project
from opsbook.debugging.intake.receiving import Receipt, Receiver
from opsbook.debugging.intake.refusals import Away, Busy, QuotaUsedUp
from opsbook.debugging.protocol.authentication import read_credentials
from opsbook.debugging.protocol.cross_origin import PREFLIGHT_HEADERS, RESPONSE_HEADERS
from opsbook.debugging.protocol.envelope import Envelope, Item, parse_envelope
from opsbook.debugging.protocol.rate_limits import HEADER, RateLimit, render, retry_after

log = get_logger(__name__)

Read = Callable[[bytes], Envelope]


class ProjectConvertor(Convertor[int]):
    """A project's number in a path: no more digits than a bigint holds, so that a service keeps its own paths."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("project", ProjectConvertor())


async def envelope(request: Request) -> Response:
    """POST /api/{project}/envelope/"""
    return await _answer(request, parse_envelope)


async def store(request: Request) -> Response:
    """POST /api/{project}/store/: an event alone, as SDKs sent it before there were envelopes."""
    return await _answer(request, lambda body: Envelope((Item("event", memoryview(body)),)))


router = APIRouter()
for name, endpoint in (("envelope", envelope), ("store", store)):
    for slash in ("/", ""):
        router.add_route(
            f"/api/{{project:project}}/{name}{slash}", endpoint, ["POST", "OPTIONS"], include_in_schema=False
        )


async def _answer(request: Request, read: Read) -> Response:
    if request.method == "OPTIONS":
        return Response(headers=PREFLIGHT_HEADERS)
    try:
        return _kept(await _receive(request, read))
    except OpsbookError as refusal:
        return _refused(refusal)


async def _receive(request: Request, read: Read) -> Receipt:
    receiver = runtime_of(request).get(Receiver)
    if "sentry" in f"{request.headers.get('x-sentry-auth', '')}{request.url.query}".lower():
        _authenticated(request, receiver, None)  # before a stranger's body is read
    receiver.writer.check()
    async with receiver.room.body_of(request) as body:
        envelope = read(body)
        project = _authenticated(request, receiver, envelope.dsn)
        address = request.client.host if request.client else None
        receipt = await receiver.receive(project, envelope, address, len(body))
        runtime_of(request).get(Forwarder).forward(envelope, body)
        return receipt


def _authenticated(request: Request, receiver: Receiver, dsn: str | None) -> Project:
    project_id: int = request.path_params["project"]
    credentials = read_credentials(
        project=str(project_id),
        sentry_header=request.headers.get("x-sentry-auth"),
        authorization=request.headers.get("authorization"),
        query=request.url.query,
        envelope_dsn=dsn,
    )
    return receiver.projects.find(project_id, credentials.key)


def _kept(receipt: Receipt) -> Response:
    body = {"id": receipt.event_id} if receipt.event_id else {}
    return _response(200, body, receipt.limits)


def _refused(refusal: OpsbookError) -> Response:
    limits = (refusal.limit,) if isinstance(refusal, Away | Busy | QuotaUsedUp) else ()
    if refusal.status >= 500:
        log.warning("intake_refuses", error=type(refusal).__name__)
    return _response(refusal.status, {"detail": str(refusal)}, limits)


def _response(status: int, body: object, limits: Sequence[RateLimit]) -> Response:
    headers = dict(RESPONSE_HEADERS)
    if limits:
        headers[HEADER] = render(limits)
        headers["Retry-After"] = str(retry_after(limits))
    return Response(orjson.dumps(body), status, headers, "application/json")
