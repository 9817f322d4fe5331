"""Who obeys, as an open flag page or the notice of a change fetches it again."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from opsbook.core.runtime import runtime_of
from opsbook.flags import store
from opsbook.flags.page_parts import Name
from opsbook.flags.readers.store import obedience
from opsbook.web.forms import Viewer
from opsbook.web.templates import render

router = APIRouter()


@router.get("/flags/{name}/readers")
async def readers_page(request: Request, viewer: Viewer, name: Name) -> HTMLResponse:
    """The panel and the sentence alone, for the newest revision of a flag."""
    async with runtime_of(request).pool.connection() as connection:
        newest = await store.change_at(connection, name)
        found = await obedience(connection, newest["revision"])
    return render(request, "flags/readers.html", viewer, name=name, obedience=found)
