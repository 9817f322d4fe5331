"""Users in the console: whose trail is asked for, and that trail, filtered by its address."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from opsbook.core.access import Identity, Role
from opsbook.core.errors import Invalid
from opsbook.core.http.identity import signed_in
from opsbook.core.runtime import runtime_of
from opsbook.debugging.users.export import MEDIA_TYPES, Format, export, plain
from opsbook.debugging.users.looking import note_look
from opsbook.debugging.users.sources.interface import BEGINNING, END
from opsbook.debugging.users.timeline import LONGEST_ID, MOST_ENTRIES, Place, Trails, Wanted
from opsbook.web.contributions import Lever, offer
from opsbook.web.templates import HEADERS, render

_FORM = "/ops/users"
_ROWS = 100

router = APIRouter()

Operator = Annotated[Identity, Depends(signed_in(Role.OPERATOR))]

offer(
    Lever(
        "Follow one person's trail",
        "Events, sessions, errors, logs, flags, audit",
        _FORM,
        "debugging",
        "Logging & Debugging",
        "What did this person do?",
    )
)


@router.get("/users")
async def form_page(request: Request, operator: Operator, id: str = "") -> Response:  # noqa: A002 - the field's name
    """Whose trail? Asked in a form, so that an address can be typed or pasted."""
    wanted = id.strip().replace("\0", "")[:LONGEST_ID]
    if wanted:
        return RedirectResponse(f"{_FORM}/{quote(wanted, safe='')}", 303)
    return render(request, "debugging/users.html", operator)


@router.get("/users/{user_id:path}")
async def trail_page(request: Request, operator: Operator, user_id: str) -> Response:
    """A person's trail, the newest first; that it was looked at is recorded."""
    runtime = runtime_of(request)
    trails = runtime.get(Trails)
    wanted = _wanted(request, user_id).checked(trails.kinds)
    await note_look(runtime.pool, operator, wanted)
    found = await trails.read(wanted)
    return render(
        request,
        "debugging/user.html",
        operator,
        user_id=user_id,
        kinds=trails.kinds,
        chosen=wanted.kinds,
        since=request.query_params.get("since", ""),
        until=request.query_params.get("until", ""),
        entries=[plain(entry) | {"at": entry.at} for entry in found.entries],
        older=str(found.older) if found.older else None,
        paged=wanted.before is not None,
        missing=found.missing,
        notes=trails.notes,
    )


@router.get("/user-export/{user_id:path}")
async def export_trail(
    request: Request,
    operator: Operator,
    user_id: str,
    format: Format = "csv",  # noqa: A002 - the address's own word
) -> StreamingResponse:
    """All of a person's trail, as a file; that it was taken is recorded."""
    runtime = runtime_of(request)
    trails = runtime.get(Trails)
    wanted = replace(_wanted(request, user_id), before=None, limit=MOST_ENTRIES).checked(trails.kinds)
    await note_look(runtime.pool, operator, wanted, taken_as=format)
    name = f"user-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{format}"
    headers = HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(export(trails, wanted, format), media_type=MEDIA_TYPES[format], headers=headers)


def _wanted(request: Request, user_id: str) -> Wanted:
    """What the address asks for.

    Raises:
        Invalid: A time or a place is malformed.
    """
    query = request.query_params
    kinds = tuple(kind for kind in query.getlist("kind") if kind)
    since, until = _moment(query.get("since", "")), _moment(query.get("until", ""))
    before = Place.parse(text) if (text := query.get("before", "")) else None
    # A field of minutes: up to the end of that minute.
    end = min(until, END - timedelta(minutes=1)) + timedelta(minutes=1) if until else END
    return Wanted(user_id, kinds, since or BEGINNING, end, before, _ROWS)


def _moment(text: str) -> datetime | None:
    """A time as a `datetime-local` field sends it, taken as UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text[:40]!r} is no time; write it as 2031-01-31T14:05 (UTC)") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
