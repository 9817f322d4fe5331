"""`/metrics`: what every chapter measures, in the text formats that Prometheus reads.

For a token of scope `metrics:read`, as Prometheus presents it with `authorization:` in its scrape configuration:
the names of functions and policies, and how busy they are, are nobody else's business.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics

from opsbook.core.access import Identity, Role
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.core.http.problems import problems
from opsbook.core.metrics import gather

router = APIRouter(tags=["monitoring"], responses=problems(401, 403, 503))


@router.get("/metrics", response_class=Response, summary="What is measured, for Prometheus")
async def metrics(
    runtime: Running,
    _: Annotated[Identity, Depends(requires(Role.VIEWER, "metrics:read"))],
    accept: Annotated[str, Header()] = "",
) -> Response:
    gathered = await gather(runtime)
    if "application/openmetrics-text" in accept:
        return Response(openmetrics.generate_latest(gathered), media_type=openmetrics.CONTENT_TYPE_LATEST)
    return Response(generate_latest(gathered), media_type=CONTENT_TYPE_PLAIN_0_0_4)
