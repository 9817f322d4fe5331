"""The audit in the console: filter, read what changed, page back, export."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from opsbook.access.export import MEDIA_TYPES, Format, export
from opsbook.access.filter import WITHIN, parse_filter
from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting, record, search
from opsbook.core.http.identity import signed_in
from opsbook.core.runtime import runtime_of
from opsbook.web.templates import HEADERS, render

_ROWS = 50

router = APIRouter()

Viewer = Annotated[Identity, Depends(signed_in(Role.VIEWER))]
Operator = Annotated[Identity, Depends(signed_in(Role.OPERATOR))]


@router.get("/audit")
async def audit(request: Request, viewer: Viewer) -> HTMLResponse:
    """Records that match the address, newest first."""
    asked = parse_filter(request.query_params, datetime.now(UTC), _ROWS + 1)
    async with runtime_of(request).pool.connection() as connection:
        found = await search(connection, asked.wanted)
    return render(
        request,
        "access/audit.html",
        viewer,
        values=asked.values,
        spans=[*WITHIN, "all"],
        records=found[:_ROWS],
        older=found[_ROWS - 1]["id"] if len(found) > _ROWS else None,
        may_export=viewer.may(Role.OPERATOR),
        paged=asked.wanted.before_id is not None,
    )


@router.get("/audit/export")
async def export_audit(
    request: Request,
    operator: Operator,
    format: Literal["csv", "jsonl"] = "csv",  # noqa: A002 - the address's own word
) -> StreamingResponse:
    """Every record that matches, as a file; that it was taken is itself recorded."""
    runtime = runtime_of(request)
    asked = parse_filter(request.query_params, datetime.now(UTC), _ROWS)
    chosen = {name: value for name, value in asked.values.items() if value}
    async with acting(runtime.pool, operator) as connection:
        await record(connection, "audit.export", "audit", format, after=chosen)
    everything = replace(asked.wanted, before_id=None)
    return StreamingResponse(
        export(runtime.pool.connection, everything, format), media_type=MEDIA_TYPES[format], headers=_as_file(format)
    )


def _as_file(format: Format) -> dict[str, str]:  # noqa: A002
    name = f"audit-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{format}"
    return HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
