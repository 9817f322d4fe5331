"""The frame's own routes: search and the choice of light or dark."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from opsbook.core.access import Identity, Role
from opsbook.core.http.identity import csrf_checked, signed_in
from opsbook.core.runtime import runtime_of
from opsbook.web import assets, live
from opsbook.web.contributions import Hit, find
from opsbook.web.frame import THEME_COOKIE, navigation
from opsbook.web.templates import render

_MOST_HITS = 50
_LONGEST_SEARCH = 200
_YEAR_SECONDS = 365 * 86_400

router = APIRouter(include_in_schema=False)
router.include_router(assets.router)
router.include_router(live.router)


@router.get("/search")
async def search(
    request: Request, viewer: Annotated[Identity, Depends(signed_in(Role.VIEWER))], q: str = ""
) -> HTMLResponse:
    """Pages, then whatever the chapters find."""
    text = q.strip()[:_LONGEST_SEARCH].replace("\0", "")
    runtime = runtime_of(request)
    hits = [
        Hit(destination.title, destination.path, "Page", destination.icon)
        for destination in navigation(runtime, request.url.path)
        if text.lower() in destination.title.lower()
    ]
    async with runtime.pool.connection() as connection:
        hits += await find(connection, text)
    return render(request, "web/search.html", viewer, text=text, hits=hits[:_MOST_HITS])


@router.post("/theme", dependencies=[Depends(csrf_checked)])
async def choose_theme(
    theme: Annotated[Literal["light", "dark"], Form()], back: Annotated[str, Form()] = "/ops"
) -> RedirectResponse:
    """Remember light or dark in this browser."""
    response = RedirectResponse(safe_path(back), 303)
    response.set_cookie(THEME_COOKIE, theme, max_age=_YEAR_SECONDS, path="/ops", samesite="lax")
    return response


def safe_path(path: str) -> str:
    """A path of this console, whatever was asked for: never another site (an open redirect)."""
    plain = path.isprintable() and "\\" not in path
    return path if plain and (path == "/ops" or path.startswith(("/ops/", "/ops?"))) else "/ops"
