"""The logs in the console: a list that follows, filtered by its address; and the lever of the level."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from psycopg.rows import DictRow

from opsbook.core.access import Identity
from opsbook.core.errors import Invalid, OpsbookError
from opsbook.core.http.identity import session_identity
from opsbook.core.log import LEVELS as LEVEL_NAMES
from opsbook.core.runtime import runtime_of
from opsbook.debugging.logs import store
from opsbook.debugging.logs.filter import LEVELS, LogFilter, Place
from opsbook.debugging.logs.following import Follower
from opsbook.debugging.logs.streams import FollowerResponse, LogReaders, begin_at
from opsbook.debugging.page_parts import Checked, Operator, pulling, texts_of
from opsbook.web.contributions import Lever, offer
from opsbook.web.templates import render, render_part

_ROWS = 100
_WITHIN = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}
_DEFAULT_WITHIN = "24h"
_FIELDS = ("level", "logger", "request", "trace", "user", "text")
_LEVEL_PAGE = "/ops/logs/level"

router = APIRouter()

offer(
    Lever(
        "Log more for a while",
        "Every process, within a second; goes back by itself",
        _LEVEL_PAGE,
        "debugging",
        "Logging & Debugging",
        "More detail",
    )
)


@router.get("/logs")
async def logs(request: Request, operator: Operator) -> HTMLResponse:
    """Lines that match the address, newest first."""
    runtime = runtime_of(request)
    wanted, within = _asked(request)
    before = Place.parse(text) if (text := request.query_params.get("before")) else None
    await runtime.get(LogReaders).note(runtime, operator, wanted)
    async with runtime.pool.connection() as connection:
        now = await store.clock(connection)
        lines = await store.search(connection, wanted, since=now - _WITHIN[within], before=before, limit=_ROWS + 1)
        levels = await store.levels(connection)
    return render(
        request,
        "debugging/logs.html",
        operator,
        values={name: getattr(wanted, name) or "" for name in _FIELDS} | {"within": within},
        all_levels=LEVELS,
        spans=list(_WITHIN),
        lines=lines[:_ROWS],
        older=str(store.place_of(lines[_ROWS - 1])) if len(lines) > _ROWS else None,
        paged=before is not None,
        now=now.isoformat(),
        levels=levels,
    )


@router.get("/logs/stream")
async def stream(
    request: Request, operator: Operator, since: str = "", last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """New lines as rows of the page's table."""
    runtime = runtime_of(request)
    wanted, _ = _asked(request)
    readers = runtime.get(LogReaders)
    readers.require_room()
    await readers.note(runtime, operator, wanted)
    async with runtime.pool.connection() as connection:
        follower = Follower(wanted, begin_at(last_event_id or since, await store.clock(connection)))
    return FollowerResponse(await readers.follow(runtime, follower, partial(session_identity, request), _rows))


@router.get("/logs/level")
async def level_page(request: Request, operator: Operator) -> HTMLResponse:
    """What is in force, and the lever."""
    return await _level_page(request, operator)


@router.post("/logs/level", dependencies=Checked)
async def set_level(request: Request, operator: Operator) -> Response:
    """Log from another level up, for a while."""
    form = await texts_of(request)
    reason = form.get("reason") or None
    try:
        period = _minutes(form.get("minutes", ""))
        async with pulling(request, operator, reason) as connection:
            await store.set_level(connection, form.get("level", ""), period, form.get("logger") or "root", reason)
    except OpsbookError as error:
        return await _level_page(request, operator, status=error.status, error=str(error))
    return RedirectResponse(_LEVEL_PAGE, 303)


@router.post("/logs/level/end", dependencies=Checked)
async def end_level(request: Request, operator: Operator) -> Response:
    """Go back now."""
    form = await texts_of(request)
    try:
        async with pulling(request, operator) as connection:
            await store.end_level(connection, form.get("logger", "root"))
    except OpsbookError as error:
        return await _level_page(request, operator, status=error.status, error=str(error))
    return RedirectResponse(_LEVEL_PAGE, 303)


async def _level_page(
    request: Request, operator: Identity, *, status: int = 200, error: str | None = None
) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        levels = await store.levels(connection)
    return render(
        request,
        "debugging/log_level.html",
        operator,
        status=status,
        error=error,
        levels=levels,
        names=LEVEL_NAMES,
        usual=runtime_of(request).settings.log_level,
    )


def _asked(request: Request) -> tuple[LogFilter, str]:
    """The filter as it stands in the address, and how far back."""
    given = {name: request.query_params.get(name, "").replace("\0", "").strip()[:200] for name in _FIELDS}
    level, logger, for_request, trace, user, text = (given[name] or None for name in _FIELDS)
    wanted = LogFilter(level, logger, for_request, trace, user, text)
    wanted.parameters()
    within = request.query_params.get("within", "")
    return wanted, within if within in _WITHIN else _DEFAULT_WITHIN


def _minutes(text: str) -> timedelta:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise Invalid("for how many minutes? Give a whole number, at most 10080: seven days")
    return timedelta(minutes=int(text))


def _rows(lines: Sequence[DictRow]) -> bytes:
    """One event: the rows, newest first, and when the newest was logged."""
    html = render_part("debugging/log_rows.html", lines=list(reversed(lines)))
    data = "\n".join(f"data: {row}" for row in html.splitlines())
    newest: datetime = max(line["logged_at"] for line in lines)
    return f"event: lines\nid: {newest.astimezone(UTC).isoformat()}\n{data}\n\n".encode()
