"""The console's pages of the address blocks: what is refused, and the lever with its warnings and its undo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg.rows import DictRow

from opsbook.core.access import Identity, Role
from opsbook.core.errors import OpsbookError
from opsbook.core.http.client_address import TrustedProxies, plain_address
from opsbook.core.http.fields import parse_number
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.performance.blocks import store
from opsbook.performance.blocks.api import BlocksInput
from opsbook.performance.blocks.guard import WouldLockOut, read_networks
from opsbook.web.charts import Chart, Series, chart, filled, steps
from opsbook.web.contributions import Concern, Hit, finds, worries
from opsbook.web.forms import DURATIONS, Checked, Operator, Viewer, pulling, read_form, texts_of
from opsbook.web.templates import render

LIST = "/ops/performance/blocks"
_ROWS = 50
_MOST_HITS = 10
_LONGEST_SEARCH = 200
_NETWORKS_TOLD = 5
_STEP, _STEPS = timedelta(minutes=1), 60
_BLANK = {"networks": "", "for_seconds": "86400", "reason": "", "even_mine": "", "seen": ""}

router = APIRouter()


@finds
async def find_blocks(connection: Connection, text: str) -> Sequence[Hit]:
    """Blocks around an address, or with the text in network or reason."""
    if not text:
        return []
    rows = await _search(connection, text, None, _MOST_HITS)
    return [Hit(row["network"], f"{LIST}?q={row['network']}", "Block", "performance", row["reason"]) for row in rows]


@worries
async def firewalls_behind(connection: Connection) -> Sequence[Concern]:
    """A front end's firewall that could not be told, or takes no more."""
    return [
        Concern(f"{each['firewall']} {title}", detail, LIST, "warn", each["pushed_at"])
        for each in await store.pushes(connection)
        for title, detail in _shortfalls(each)
    ]


@router.get("/performance/blocks")
async def list_page(
    request: Request, viewer: Viewer, q: str = "", after: str = "", changed: int | None = None
) -> HTMLResponse:
    """What is blocked, by network, narrowed by text or address, a page at a time."""
    return await _list(request, viewer, text=q, after=after, changed=changed)


@router.get("/performance/blocks/new")
async def new_page(request: Request, operator: Operator, network: str = "") -> HTMLResponse:
    """The form of new blocks; shown in a dialog where scripts run."""
    return _form(request, operator, {**_BLANK, "networks": network[:_LONGEST_SEARCH]})


@router.post("/performance/blocks/new", dependencies=Checked)
async def add(request: Request, operator: Operator) -> Response:
    """Block what the form names; what would lock somebody out, or is there in part, is asked about first."""
    form = {**_BLANK, **await texts_of(request)}
    even_mine = form["even_mine"] == "true"
    try:
        lines = form["networks"].replace(",", "\n").splitlines()
        networks = read_networks(lines)
        given = read_form(BlocksInput, {**form, "networks": [str(each) for each in networks], "even_mine": even_mine})
        async with pulling(request, operator, given.reason) as connection:
            if not even_mine:
                proxies = runtime_of(request).get(TrustedProxies)
                own = [operator.ip] if operator.ip else []
                await store.check_harmless(connection, networks, own, proxies, hint="tick the box below")
            if not form["seen"] and (found := await store.overlaps(connection, networks)):
                return _form(request, operator, form, status=409, overlaps=found)
            await store.add(connection, networks, reason=given.reason or "", expires_at=given.end())
            revision = await store.newest_revision(connection)
    except OpsbookError as error:
        locks_out = isinstance(error, WouldLockOut)
        return _form(request, operator, form, status=error.status, error=str(error), locks_out=locks_out)
    return RedirectResponse(f"{LIST}?changed={revision}", 303)


@router.post("/performance/blocks/remove", dependencies=Checked)
async def remove(request: Request, operator: Operator) -> Response:
    """Lift a block."""
    form = await texts_of(request)
    try:
        async with pulling(request, operator, form.get("reason")) as connection:
            await store.remove(connection, read_networks([form.get("network", "")]))
            revision = await store.newest_revision(connection)
    except OpsbookError as error:
        return await _list(request, operator, status=error.status, error=str(error))
    return RedirectResponse(f"{LIST}?changed={revision}", 303)


@router.post("/performance/blocks/undo", dependencies=Checked)
async def undo(request: Request, operator: Operator) -> Response:
    """Have everything as it was before the change that was seen."""
    try:
        seen = parse_number((await texts_of(request)).get("revision", ""))
        async with pulling(request, operator, "undo") as connection:
            await store.undo(connection, seen or 0)
            revision = await store.newest_revision(connection)
    except OpsbookError as error:
        return await _list(request, operator, status=error.status, error=str(error))
    return RedirectResponse(f"{LIST}?changed={revision}", 303)


async def refusals_chart(connection: Connection) -> Chart:
    """What all blocks refused in the last hour."""
    moments = steps(_STEP, _STEPS)
    rows = await store.refused(connection, _STEP * _STEPS, _STEP)
    refused = filled(moments, {row["at"]: row["refused"] for row in rows})
    return chart("Refused a minute", moments, [Series("refused", refused, "bars", "warn")], step=_STEP)


async def _list(
    request: Request,
    viewer: Identity,
    *,
    text: str = "",
    after: str = "",
    changed: int | None = None,
    status: int = 200,
    error: str | None = None,
) -> HTMLResponse:
    text = text.strip()[:_LONGEST_SEARCH].replace("\0", "")
    async with runtime_of(request).pool.connection() as connection:
        rows = await _search(connection, text, after or None, _ROWS + 1)
        totals = await store.totals(connection)
        recent = await store.recently_hit(connection, _NETWORKS_TOLD)
        pushes = await store.pushes(connection)
        changes = await store.changed_in(connection, changed) if changed is not None else []
        refusals = await refusals_chart(connection)
    return render(
        request,
        "performance/blocks.html",
        viewer,
        status=status,
        blocks=rows[:_ROWS],
        next_after=rows[_ROWS - 1]["network"] if len(rows) > _ROWS else None,
        asked={"q": text, "after": after},
        totals=totals,
        recent=recent,
        pushes=pushes,
        chart=refusals,
        told=_told(changes),
        may_undo=viewer.may(Role.OPERATOR) and 0 < len(changes) <= store.MOST_UNDONE,
        changed=changed,
        error=error,
        may_change=viewer.may(Role.OPERATOR),
    )


async def _search(connection: Connection, text: str, after: str | None, limit: int) -> Sequence[DictRow]:
    page_after = str(read_networks([after])[0]) if after else None
    address = plain_address(text)
    return await store.list_blocks(
        connection, after=page_after, address=address, text=None if address else text or None, limit=limit
    )


def _form(
    request: Request,
    operator: Identity,
    form: Mapping[str, str],
    *,
    status: int = 200,
    error: str | None = None,
    locks_out: bool = False,
    overlaps: Sequence[store.Overlap] = (),
) -> HTMLResponse:
    return render(
        request,
        "performance/block.html",
        operator,
        status=status,
        form=form,
        durations=DURATIONS,
        error=error,
        locks_out=locks_out or form["even_mine"] == "true",
        overlaps=overlaps,
    )


def _shortfalls(push: DictRow) -> Iterator[tuple[str, str]]:
    if push["error"]:
        yield "was not told of the blocks", push["error"]
    if push["left_out"]:
        yield "takes no more blocks", f"{push['left_out']:,} are refused by the service alone."


def _told(changes: Sequence[store.Change]) -> str | None:
    """What a change did, in a sentence."""
    if not changes:
        return None
    names = ", ".join(each.network for each in changes[:_NETWORKS_TOLD])
    more = f" and {len(changes) - _NETWORKS_TOLD} more" if len(changes) > _NETWORKS_TOLD else ""
    if len(changes) > store.MOST_UNDONE:
        more = f" and more than {store.MOST_UNDONE - _NETWORKS_TOLD} more"
    verb = "is" if len(changes) == 1 else "are"
    fate = "let in again" if all(each.is_lifted for each in changes) else "refused"
    return f"{names}{more} {verb} {fate} by every worker."
