"""HTTP of Unleash's client API: the features, a stream of them, and what SDKs report.

An SDK sends its token as it is, without `Bearer`. It fetches the flags with their rules, to
decide by itself; so its token needs `flags:read`, where asking for a decision needs less.
"""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from opsbook.core.access import Identity, Role
from opsbook.core.errors import Forbidden, Unavailable
from opsbook.core.http.identity import evaluator, still_known
from opsbook.core.http.server_sent import event_stream
from opsbook.core.log import get_logger
from opsbook.core.runtime import runtime_of
from opsbook.flags.client import Flags
from opsbook.flags.exposures import store
from opsbook.flags.service import FlagStream
from opsbook.flags.unleash.features import Features, FeatureWriter
from opsbook.flags.unleash.metrics import read_metrics, read_registration
from opsbook.flags.unleash.stream import states

log = get_logger(__name__)

_writer = FeatureWriter()


async def features(request: Request) -> Response:
    """Every flag as an Unleash feature, or that nothing changed since the SDK last asked."""
    await _reader(request)
    found = _features(request)
    headers = {
        "ETag": found.entity_tag,
        "Cache-Control": "no-store",
        "Opsbook-Left-Behind": str(found.left_behind),
    }
    if found.entity_tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type="application/json")


async def stream(request: Request) -> Response:
    """The same as server-sent events, for SDKs in streaming mode."""
    await _reader(request)
    events = states(runtime_of(request).get(FlagStream).snapshots(), partial(_features, request))
    return event_stream(events, partial(still_known, partial(_reader, request)))


async def register(request: Request) -> Response:
    """An SDK says that it is there."""
    await _reader(request)
    told = read_registration(await request.body())
    log.info("unleash_client_registered", app=told.app_name[:200], sdk=told.sdk_version, instance=told.instance_id)
    return Response(status_code=202)


async def metrics(request: Request) -> Response:
    """An SDK says how often each flag was what; it counts with the exposures of our own kit."""
    await _reader(request)
    counts = read_metrics(await request.body())
    if counts:
        async with runtime_of(request).pool.connection() as connection:
            await store.add(connection, counts)
    return Response(status_code=202)


router = APIRouter()
# Starlette's own routes: the protocol is described by Unleash, and is none of our own API.
router.add_route("/api/client/features", features, methods=["GET"])
router.add_route("/api/client/streaming", stream, methods=["GET"])
router.add_route("/api/client/register", register, methods=["POST"])
router.add_route("/api/client/metrics", metrics, methods=["POST"])


async def _reader(request: Request) -> Identity:
    """Who asks, by the token.

    Raises:
        Unauthorized: There is no token, or a bad one.
        Forbidden: It does not reach to the flags' rules.
    """
    given = request.headers.get("authorization", "").strip()
    scheme, _, rest = given.partition(" ")
    identity = await evaluator(request, rest.strip() if scheme.lower() == "bearer" else given)
    if not identity.may(Role.VIEWER, "flags:read"):
        raise Forbidden("an Unleash SDK fetches the flags' rules: its token needs the scope flags:read")
    return identity


def _features(request: Request) -> Features:
    flags = runtime_of(request).get(Flags)
    if not flags.ready:
        # What this process remembers must not take the place of something newer that the SDK holds.
        raise Unavailable("no flags have been read from the ops database yet; try again in a moment")
    return _writer.features(flags.snapshot, request.headers.get("unleash-client-spec", ""))
