"""One flag's page: its levers, its history and undo, the confirmations of what cannot be missed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg.rows import DictRow

from opsbook.core.access import Identity, Role
from opsbook.core.errors import Conflict, NotFound, OpsbookError
from opsbook.core.http.fields import parse_number
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.flags import store, wording
from opsbook.flags.approval import store as approval
from opsbook.flags.difference import flag_differences
from opsbook.flags.exposures.store import exposures
from opsbook.flags.fields import MOST_REVISION
from opsbook.flags.form import read_change, shown, touched
from opsbook.flags.model import Flag
from opsbook.flags.page_parts import Name, back_to, page_of, pulling
from opsbook.flags.readers.store import obedience
from opsbook.flags.schedules import store as schedules
from opsbook.flags.schedules.model import effect_in_words
from opsbook.flags.trial import read_trial
from opsbook.web.forms import Checked, Operator, Viewer, texts_of
from opsbook.web.pages import safe_path
from opsbook.web.templates import render

_REVISIONS = 50

router = APIRouter()

Revision = Annotated[int, Path(ge=1, le=MOST_REVISION)]


@router.get("/flags/{name}")
async def detail_page(request: Request, viewer: Viewer, name: Name, changed: int | None = None) -> HTMLResponse:
    """One flag: its levers, whom it is for, what it has been; also after its deletion."""
    return await show_flag(request, viewer, name, changed=changed)


@router.get("/flags/{name}/revisions/{revision}")
async def revision_page(request: Request, viewer: Viewer, name: Name, revision: Revision) -> HTMLResponse:
    """What one revision changed, and what differs between it and now."""
    async with runtime_of(request).pool.connection() as connection:
        then = await store.change_at(connection, name, revision)
        newest = await store.change_at(connection, name)
    return render(
        request,
        "flags/revision.html",
        viewer,
        name=name,
        then=_with_differences(then),
        since=flag_differences(then["after"], newest["after"]),
        is_newest=then["revision"] == newest["revision"],
        may_change=viewer.may(Role.OPERATOR),
    )


@router.post("/flags/{name}", dependencies=Checked)
async def change(request: Request, operator: Operator, name: Name) -> Response:
    """Change the fields that the form carries; with a revision, only if nobody was faster."""
    form = await texts_of(request)
    try:
        async with runtime_of(request).pool.connection() as connection:
            given = read_change(touched(form, await store.get_flag(connection, name)))
        async with pulling(request, operator, given.reason) as connection:
            flag = await store.change_flag(connection, name, given.changes(), expected_revision=given.revision)
    except OpsbookError as error:
        return await show_flag(request, operator, name, status=error.status, error=str(error))
    return back_to(form, name, flag.revision)


@router.get("/flags/{name}/kill")
async def kill_page(request: Request, operator: Operator, name: Name) -> HTMLResponse:
    """What a kill switch will touch, and why it is thrown; shown in a dialog where scripts run."""
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
        workers = len((await obedience(connection, flag.revision)).readers)
    back = safe_path(request.query_params.get("back", ""))
    return render(request, "flags/kill.html", operator, flag=flag, workers=workers, back=back)


@router.get("/flags/{name}/delete")
async def delete_page(request: Request, operator: Operator, name: Name) -> HTMLResponse:
    """What a deletion will touch."""
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
    return render(request, "flags/delete.html", operator, flag=flag)


@router.post("/flags/{name}/delete", dependencies=Checked)
async def delete(request: Request, operator: Operator, name: Name) -> Response:
    """Delete a flag; its page keeps the history and the undo."""
    try:
        given = read_change(await texts_of(request))
        async with pulling(request, operator, given.reason) as connection:
            await store.delete_flag(connection, name, expected_revision=given.revision)
    except OpsbookError as error:
        return await show_flag(request, operator, name, status=error.status, error=str(error))
    return RedirectResponse(page_of(name), 303)


@router.post("/flags/{name}/undo", dependencies=Checked)
async def undo(request: Request, operator: Operator, name: Name) -> Response:
    """Go back to `to_revision`, or to before the last change if that still is the one that was seen."""
    form = await texts_of(request)
    try:
        target = parse_number(form.get("to_revision", ""))
        seen = read_change(form).revision
        async with pulling(request, operator, form.get("reason")) as connection:
            await _still_newest(connection, name, seen)
            flag = await store.undo(connection, name, to_revision=target)
    except OpsbookError as error:
        return await show_flag(request, operator, name, status=error.status, error=str(error))
    return back_to(form, name, flag.revision if flag else None)


@router.post("/flags/{name}/requests/{number}", dependencies=Checked)
async def decide(request: Request, operator: Operator, name: Name, number: Revision) -> Response:
    """Make a change that another person asked for, or decide that it is not made."""
    form = await texts_of(request)
    try:
        async with pulling(request, operator, form.get("reason")) as connection:
            if form.get("decision") == "approve":
                return back_to(form, name, (await approval.approve(connection, number)).revision)
            await approval.reject(connection, number)
    except OpsbookError as error:
        return await show_flag(request, operator, name, status=error.status, error=str(error))
    return back_to(form, name, None)


async def show_flag(
    request: Request,
    viewer: Identity,
    name: str,
    *,
    changed: int | None = None,
    status: int = 200,
    error: str | None = None,
) -> HTMLResponse:
    """The page of a flag, with what was just changed, or why nothing was."""
    async with runtime_of(request).pool.connection() as connection:
        revisions = await store.history(connection, name, limit=_REVISIONS)
        flag = await _flag_or_none(connection, name)
        trial = await read_trial(connection, name, request.query_params) if flag else None
        seen = await exposures(connection, name)
        waiting = await approval.list_requests(connection, name)
        planned = await schedules.list_schedules(connection, name)
        obeyed = await obedience(connection, revisions[0]["revision"])
    newest = revisions[0]
    return render(
        request,
        "flags/detail.html",
        viewer,
        status=status,
        name=name,
        flag=flag,
        revisions=[_with_differences(revision) for revision in revisions],
        just_changed=_with_differences(newest) if newest["revision"] == changed else None,
        trial=trial,
        wording=wording,
        seen=seen,
        waiting=waiting,
        planned=[_planned(row) for row in planned],
        obedience=obeyed,
        total_seen=sum(each.count for each in seen),
        facts=shown(flag) if flag else None,
        error=error,
        may_change=viewer.may(Role.OPERATOR),
    )


def _planned(row: DictRow) -> DictRow:
    step = row["next_step"]
    return {**row, "effect": effect_in_words(step), "at": datetime.fromisoformat(step["at"])}


def _with_differences(revision: DictRow) -> DictRow:
    return {**revision, "differences": flag_differences(revision["before"], revision["after"])}


async def _flag_or_none(connection: Connection, name: str) -> Flag | None:
    try:
        return await store.get_flag(connection, name)
    except NotFound:
        return None


async def _still_newest(connection: Connection, name: str, seen: int | None) -> None:
    newest: DictRow = (await store.history(connection, name, limit=1))[0]
    if seen is not None and newest["revision"] != seen:
        raise Conflict(f"{newest['actor']} changed {name!r} in between; look at its history before undoing")
