"""The console's pages of the feature flags: list, create, the levers of one flag, its history and undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg.rows import DictRow

from opsbook.core.access import Identity, Role
from opsbook.core.audit import acting
from opsbook.core.errors import Conflict, NotFound, OpsbookError
from opsbook.core.http.fields import parse_number
from opsbook.core.http.identity import csrf_checked, signed_in
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.flags import store
from opsbook.flags.form import read_change, read_new
from opsbook.flags.model import NAME_PATTERN, Flag
from opsbook.web.contributions import Concern, Hit, Lever, finds, offer, worries
from opsbook.web.pages import safe_path
from opsbook.web.templates import render

STATES = ("on", "partial", "off", "killed", "archived")
_MOST_HITS = 20
_REVISIONS = 50
_LIST = "/ops/flags"
_BLANK = dict.fromkeys(("name", "description", "owner", "tags"), "") | {"rollout_percentage": "100", "enabled": "false"}

router = APIRouter(include_in_schema=False)

Viewer = Annotated[Identity, Depends(signed_in(Role.VIEWER))]
Operator = Annotated[Identity, Depends(signed_in(Role.OPERATOR))]
Name = Annotated[str, Path(pattern=NAME_PATTERN)]
Checked = [Depends(csrf_checked)]

offer(
    Lever("Throw a kill switch", "Off for everybody, in every worker, at once", _LIST, "power", "Incidents", "Contain"),
    Lever("Roll a feature out", "In steps of 0.01 %, undone in one click", _LIST, "flags", "Feature flags", "Rollout"),
)


@finds
async def find_flags(connection: Connection, text: str) -> Sequence[Hit]:
    """Flags by name, description, owner and tags; with nothing to look for, the ones changed last."""
    flags = [flag for flag in await store.list_flags(connection, archived=bool(text)) if _matches(flag, text)]
    if not text:
        flags.sort(key=lambda flag: -flag.revision)
    return [Hit(flag.name, page_of(flag.name), "Flag", "flags", flag.state) for flag in flags[:_MOST_HITS]]


@worries
async def killed_flags(connection: Connection) -> Sequence[Concern]:
    """A kill switch that is on means that something is broken, until it is revived or its code removed."""
    return [
        Concern(f"{flag.name} is killed", _why(flag), page_of(flag.name), "warn", flag.updated_at)
        for flag in await store.list_flags(connection)
        if flag.kill_switch
    ]


@router.get("/flags")
async def list_page(
    request: Request, viewer: Viewer, q: str = "", state: str = "", tag: str = "", changed: str = ""
) -> HTMLResponse:
    """Every flag, narrowed by text, state and tag; archived ones only when that state is asked for."""
    async with runtime_of(request).pool.connection() as connection:
        flags = await store.list_flags(connection, archived=True)
    shown = [flag for flag in flags if _matches(flag, q) and (not tag or tag in flag.tags)]
    counts = {each: sum(flag.state == each for flag in shown) for each in STATES}
    return render(
        request,
        "flags/list.html",
        viewer,
        flags=[flag for flag in shown if (flag.state == state if state else flag.state != "archived")],
        any_flags=bool(flags),
        counts=counts,
        asked={"q": q, "state": state, "tag": tag},
        changed=next((flag for flag in flags if flag.name == changed), None),
        may_change=viewer.may(Role.OPERATOR),
    )


@router.get("/flags/-/new")
async def new_page(request: Request, operator: Operator, name: str = "") -> HTMLResponse:
    """The form of a new flag; its address cannot be a flag's, since no name is a dash."""
    return render(request, "flags/new.html", operator, form={**_BLANK, "name": name}, error=None)


@router.post("/flags/-/new", dependencies=Checked)
async def create(request: Request, operator: Operator) -> Response:
    """Create a flag; what was typed comes back with the reason where it will not do."""
    form = await _form(request)
    try:
        given = read_new(form)
        async with acting(runtime_of(request).pool, operator, given.reason) as connection:
            flag = await store.create_flag(connection, given.name, given.changes())
    except OpsbookError as error:
        return render(
            request, "flags/new.html", operator, status=error.status, form={**_BLANK, **form}, error=str(error)
        )
    return RedirectResponse(f"{page_of(flag.name)}?changed={flag.revision}", 303)


@router.get("/flags/{name}")
async def detail_page(request: Request, viewer: Viewer, name: Name, changed: int | None = None) -> HTMLResponse:
    """One flag: its levers, what it is, what it has been; also after its deletion."""
    return await _detail(request, viewer, name, changed=changed)


@router.post("/flags/{name}", dependencies=Checked)
async def change(request: Request, operator: Operator, name: Name) -> Response:
    """Change the fields that the form carries; with a revision, only if nobody was faster."""
    form = await _form(request)
    try:
        given = read_change(form)
        async with acting(runtime_of(request).pool, operator, given.reason) as connection:
            flag = await store.change_flag(connection, name, given.changes(), expected_revision=given.revision)
    except OpsbookError as error:
        return await _detail(request, operator, name, status=error.status, error=str(error))
    return _back(form, name, flag.revision)


@router.get("/flags/{name}/kill")
async def kill_page(request: Request, operator: Operator, name: Name) -> HTMLResponse:
    """What a kill switch will touch, and why it is thrown; shown in a dialog where scripts run."""
    async with runtime_of(request).pool.connection() as connection:
        flag = await store.get_flag(connection, name)
    return render(request, "flags/kill.html", operator, flag=flag, back=safe_path(request.query_params.get("back", "")))


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
        given = read_change(await _form(request))
        async with acting(runtime_of(request).pool, operator, given.reason) as connection:
            await store.delete_flag(connection, name, expected_revision=given.revision)
    except OpsbookError as error:
        return await _detail(request, operator, name, status=error.status, error=str(error))
    return RedirectResponse(page_of(name), 303)


@router.post("/flags/{name}/undo", dependencies=Checked)
async def undo(request: Request, operator: Operator, name: Name) -> Response:
    """Go back to `to_revision`, or to before the last change if that still is the one that was seen."""
    form = await _form(request)
    try:
        target = parse_number(form.get("to_revision", ""))
        seen = read_change(form).revision
        async with acting(runtime_of(request).pool, operator, form.get("reason")) as connection:
            await _still_newest(connection, name, seen)
            flag = await store.undo(connection, name, to_revision=target)
    except OpsbookError as error:
        return await _detail(request, operator, name, status=error.status, error=str(error))
    return _back(form, name, flag.revision if flag else None)


def page_of(name: str) -> str:
    """The address of a flag's page."""
    return f"{_LIST}/{quote(name, safe='')}"


async def _detail(
    request: Request,
    viewer: Identity,
    name: str,
    *,
    changed: int | None = None,
    status: int = 200,
    error: str | None = None,
) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        revisions = await store.history(connection, name, limit=_REVISIONS)
        flag = await _flag_or_none(connection, name)
    newest = revisions[0]
    return render(
        request,
        "flags/detail.html",
        viewer,
        status=status,
        name=name,
        flag=flag,
        revisions=revisions,
        just_changed=newest if newest["revision"] == changed else None,
        error=error,
        may_change=viewer.may(Role.OPERATOR),
    )


async def _flag_or_none(connection: Connection, name: str) -> Flag | None:
    try:
        return await store.get_flag(connection, name)
    except NotFound:
        return None


async def _still_newest(connection: Connection, name: str, seen: int | None) -> None:
    newest: DictRow = (await store.history(connection, name, limit=1))[0]
    if seen is not None and newest["revision"] != seen:
        raise Conflict(f"{newest['actor']} changed {name!r} in between; look at its history before undoing")


async def _form(request: Request) -> Mapping[str, str]:
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def _back(form: Mapping[str, str], name: str, revision: int | None) -> RedirectResponse:
    """To the list if the lever was pulled there, else to the flag, saying what has just changed."""
    back = safe_path(form.get("back", ""))
    if back.partition("?")[0] == _LIST:
        joint = "&" if "?" in back else "?"
        return RedirectResponse(f"{back}{joint}{urlencode({'changed': name})}", 303)
    return RedirectResponse(f"{page_of(name)}?changed={revision}" if revision else page_of(name), 303)


def _matches(flag: Flag, text: str) -> bool:
    haystack = " ".join((flag.name, flag.description, flag.owner or "", *flag.tags)).lower()
    return all(word in haystack for word in text.lower().split())


def _why(flag: Flag) -> str:
    owner = f"Owner: {flag.owner}. " if flag.owner else ""
    return f"{owner}Revive it once it is mended, or remove it."
