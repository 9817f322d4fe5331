"""HTTP of OFREP: one flag, every flag, and the stream that tells clients to ask again."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import aclosing, suppress
from functools import partial

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from opsbook.core.access.known_tokens import KnownTokens
from opsbook.core.deadline import within
from opsbook.core.http.identity import evaluator, still_known
from opsbook.core.http.server_sent import event_stream
from opsbook.core.log import get_logger
from opsbook.core.runtime import Runtime, runtime_of
from opsbook.flags.client import Flags
from opsbook.flags.evaluation import ERROR, INVALID_CONTEXT, CompiledFlag, Evaluation, evaluate
from opsbook.flags.ofrep.messages import (
    GENERAL,
    Failure,
    Outcome,
    Unanswerable,
    entity_tag,
    outcome_of,
    read_context,
)
from opsbook.flags.ofrep.stream import changes
from opsbook.flags.ofrep.tickets import ADMIN, read_ticket, write_ticket
from opsbook.flags.service import FlagStream
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.targeting.context import Context

_INACTIVITY_SECONDS = 120
"""How long a hidden page keeps its stream; what clients assume where nothing is said."""
_CATCHING_UP_SECONDS = 1.0
_PATIENCE_SECONDS = 2.0

log = get_logger(__name__)


async def evaluate_flag(request: Request) -> Response:
    """What one flag is for the context."""
    await evaluator(request, _credential(request))
    key: str = request.path_params["key"]
    try:
        context = read_context(await request.body())
        flags = await _flags(request)
    except Unanswerable as error:
        return _single(Failure(error.code, str(error), key))
    return _single(outcome_of(key, flags.evaluate(key, context)))


async def evaluate_flags(request: Request) -> Response:
    """What every flag is for the context, or that it is what the client has already."""
    caller = await evaluator(request, _credential(request))
    try:
        context = read_context(await request.body())
        flags = await _flags(request)
    except Unanswerable as error:
        return _single(Failure(error.code, str(error)))
    ticket = write_ticket(runtime_of(request).signing_key, caller.token_id or ADMIN, time.time())
    body = msgspec.json.encode(
        {"flags": _outcomes(flags.snapshot, context), "eventStreams": [_stream(request, ticket)]}
    )
    headers = {"ETag": entity_tag(context, body), "Cache-Control": "no-store"}
    if _holds(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


async def follow_changes(request: Request) -> Response:
    """A server-sent event with each change of any flag; the ticket in the address says who reads."""
    runtime = runtime_of(request)
    reader = partial(
        _reader, runtime, read_ticket(runtime.signing_key, request.query_params.get("ticket", ""), time.time())
    )
    await reader()
    held = request.headers.get("last-event-id", "")
    held_revision = int(held) if re.fullmatch(r"[0-9]{1,18}", held) else None
    events = changes(runtime.get(FlagStream).snapshots(), held_revision)
    return event_stream(events, partial(still_known, reader))


router = APIRouter()
# Starlette's own routes: FastAPI's reading of parameters would cost more than the evaluation, and the
# protocol describes itself.
router.add_route("/ofrep/v1/evaluate/flags", evaluate_flags, methods=["POST"])
router.add_route("/ofrep/v1/evaluate/flags/{key:path}", evaluate_flag, methods=["POST"])
router.add_route("/ofrep/v1/changes", follow_changes, methods=["GET"])


def _credential(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


async def _flags(request: Request) -> Flags:
    """The process's own flags, no older than the change that made the client ask, if that comes within a second.

    Raises:
        Unanswerable: This process has not heard of any flags yet.
    """
    runtime = runtime_of(request)
    flags = runtime.get(Flags)
    wanted = re.fullmatch(r'(?:W/)?"?([0-9]{1,18})"?', request.query_params.get("flagConfigEtag", ""))
    if wanted and int(wanted[1]) > flags.snapshot.revision:
        # The stream may have been another process's, which heard of the change before this one.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCHING_UP_SECONDS):
                await _reached(runtime.get(FlagStream), int(wanted[1]))
    if not flags.ready and not flags.snapshot.revision:
        raise Unanswerable(GENERAL, "no flags have been read from the ops database yet; try again in a moment")
    return flags


async def _reached(stream: FlagStream, wanted: int) -> None:
    async with aclosing(stream.snapshots()) as snapshots:
        async for snapshot in snapshots:
            if snapshot is not None and snapshot.revision >= wanted:
                return


def _single(outcome: Outcome) -> Response:
    status = outcome.status if isinstance(outcome, Failure) else 200
    return Response(
        msgspec.json.encode(outcome), status, headers={"Cache-Control": "no-store"}, media_type="application/json"
    )


def _outcomes(snapshot: Snapshot, context: Context) -> list[Outcome]:
    return [outcome_of(name, _evaluate(flag, context, snapshot)) for name, flag in snapshot.flags.items()]


def _evaluate(flag: CompiledFlag, context: Context, snapshot: Snapshot) -> Evaluation:
    try:
        return evaluate(flag, context, snapshot.flags)
    except Exception as error:
        # One flag that stumbles over a hostile context must not take the others along; the kit does the same.
        log.warning("flag_evaluation_failed", error=type(error).__name__)
        return Evaluation(False, False, None, ERROR, INVALID_CONTEXT)


def _stream(request: Request, ticket: str) -> dict[str, object]:
    # Without an origin, which clients then take from the address they know us by: a proxy may have changed ours.
    path = f"{request.scope.get('root_path', '')}/ofrep/v1/changes?ticket={ticket}"
    return {"type": "sse", "endpoint": {"requestUri": path}, "inactivityDelaySec": _INACTIVITY_SECONDS}


def _holds(request: Request, tag: str) -> bool:
    held = request.headers.get("if-none-match", "")
    return any(each.strip().removeprefix("W/") == tag for each in held.split(","))


async def _reader(runtime: Runtime, token_id: int) -> object:
    """Whose ticket it is.

    Raises:
        Unauthorized: The token has been revoked, or has expired.
    """
    if token_id == ADMIN:
        return ADMIN
    return await within(_PATIENCE_SECONDS, runtime.get(KnownTokens).find_by_id(token_id))
