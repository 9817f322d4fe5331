"""The list of the flags, a new one, and what the flags contribute to the console's search and overview."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg.rows import DictRow

from opsbook.core.access import Role
from opsbook.core.errors import OpsbookError
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.flags import store
from opsbook.flags.approval import store as approval
from opsbook.flags.form import read_new
from opsbook.flags.model import Flag
from opsbook.flags.page_parts import LIST, page_of, pulling
from opsbook.flags.readers.store import obedience
from opsbook.web.contributions import Concern, Hit, Lever, finds, offer, worries
from opsbook.web.forms import Checked, Operator, Viewer, texts_of
from opsbook.web.templates import render

STATES = ("on", "partial", "off", "killed", "archived")
_MOST_HITS = 20
_BLANK = dict.fromkeys(("name", "description", "owner", "tags"), "") | {"rollout_percentage": "100", "enabled": "false"}

router = APIRouter()

offer(
    Lever("Throw a kill switch", "Off for everybody, in every worker, at once", LIST, "power", "Incidents", "Contain"),
    Lever("Roll a feature out", "In steps of 0.01 %, undone in one click", LIST, "flags", "Feature flags", "Rollout"),
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


@worries
async def waiting_requests(connection: Connection) -> Sequence[Concern]:
    """Flags of which changes wait for a second person, each once: many requests must not bury other concerns."""
    of_flag: defaultdict[str, list[DictRow]] = defaultdict(list)
    for request in await approval.list_requests(connection):
        of_flag[request["flag"]].append(request)
    return [_waiting(name, requests) for name, requests in of_flag.items()]


def _waiting(name: str, requests: Sequence[DictRow]) -> Concern:
    first = min(requests, key=lambda request: request["expires_at"])
    which = (
        f"Request {first['id']} of {first['made_by']}" if len(requests) == 1 else f"{len(requests)} requests, the first"
    )
    return Concern(
        f"{name} waits for a second person",
        f"{which} until {first['expires_at']:%Y-%m-%d %H:%M} UTC.",
        f"{page_of(name)}#requests",
        "warn",
        min(request["made_at"] for request in requests),
    )


@router.get("/flags")
async def list_page(
    request: Request, viewer: Viewer, q: str = "", state: str = "", tag: str = "", changed: str = ""
) -> HTMLResponse:
    """Every flag, narrowed by text, state and tag; archived ones only when that state is asked for."""
    async with runtime_of(request).pool.connection() as connection:
        flags = await store.list_flags(connection, archived=True)
        pulled = next((flag for flag in flags if flag.name == changed), None)
        obeyed = await obedience(connection, pulled.revision) if pulled else None
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
        changed=pulled,
        obedience=obeyed,
        may_change=viewer.may(Role.OPERATOR),
    )


@router.get("/flags/-/new")
async def new_page(request: Request, operator: Operator, name: str = "") -> HTMLResponse:
    """The form of a new flag."""
    return render(request, "flags/new.html", operator, form={**_BLANK, "name": name}, error=None)


@router.post("/flags/-/new", dependencies=Checked)
async def create(request: Request, operator: Operator) -> Response:
    """Create a flag; what was typed comes back with the reason where it will not do."""
    form = await texts_of(request)
    try:
        given = read_new(form)
        async with pulling(request, operator, given.reason) as connection:
            flag = await store.create_flag(connection, given.name, given.changes())
    except OpsbookError as error:
        return render(
            request, "flags/new.html", operator, status=error.status, form={**_BLANK, **form}, error=str(error)
        )
    return RedirectResponse(f"{page_of(flag.name)}?changed={flag.revision}", 303)


def _matches(flag: Flag, text: str) -> bool:
    haystack = " ".join((flag.name, flag.description, flag.owner or "", *flag.tags)).lower()
    return all(word in haystack for word in text.lower().split())


def _why(flag: Flag) -> str:
    owner = f"Owner: {flag.owner}. " if flag.owner else ""
    return f"{owner}Revive it once it is mended, or remove it."
