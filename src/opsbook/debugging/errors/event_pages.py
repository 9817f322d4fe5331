"""One event in the console: its stack, what led to it, its request, its person; and the whole as a download."""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from opsbook.core.access import Role
from opsbook.core.runtime import runtime_of
from opsbook.debugging.errors.event_view import view_of
from opsbook.debugging.errors.events import EventDetail, get_attachment, get_event
from opsbook.debugging.errors.issue_pages import Number
from opsbook.debugging.errors.list_pages import page_of
from opsbook.debugging.page_parts import Viewer
from opsbook.web.templates import HEADERS, render

router = APIRouter()


@router.get("/errors/{issue}/events/{event}")
async def event_page(request: Request, viewer: Viewer, issue: Number, event: UUID) -> Response:
    """An event. Its issue may have become another since a link was made: the address follows."""
    detail = await _detail(request, event)
    if detail.row["issue_id"] != issue:
        return RedirectResponse(f"{page_of(detail.row['issue_id'])}/events/{event.hex}", 303)
    return _page(request, viewer, detail)


@router.get("/errors/{issue}/events/{event}/json")
async def download(request: Request, viewer: Viewer, issue: Number, event: UUID) -> Response:
    """The event's document as a file, as the SDK sent it but for what was scrubbed."""
    detail = await _detail(request, event)
    headers = HEADERS | {"Content-Disposition": f'attachment; filename="event-{event.hex}.json"'}
    content = orjson.dumps(detail.document, option=orjson.OPT_INDENT_2)
    return Response(content, media_type="application/json", headers=headers)


@router.get("/errors/{issue}/events/{event}/files/{file}")
async def download_file(request: Request, viewer: Viewer, issue: Number, event: UUID, file: Number) -> Response:
    """A file that came with the event; whatever it says it is, a browser only ever saves it."""
    async with runtime_of(request).pool.connection() as connection:
        row = await get_attachment(connection, event, file)
    headers = HEADERS | {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(row['filename'], safe='')}"}
    return Response(bytes(row["content"]), media_type="application/octet-stream", headers=headers)


async def _detail(request: Request, event: UUID) -> EventDetail:
    async with runtime_of(request).pool.connection() as connection:
        return await get_event(connection, event)


def _page(request: Request, viewer: Viewer, detail: EventDetail) -> HTMLResponse:
    return render(
        request,
        "debugging/event.html",
        viewer,
        event=detail.row,
        detail=detail,
        view=view_of(detail.document),
        may_follow=viewer.may(Role.OPERATOR),
    )
