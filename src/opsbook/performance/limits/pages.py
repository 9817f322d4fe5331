"""The console's pages of the rate limits: each policy, who is near and who was refused, and the lever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from opsbook.core.access import Identity, Role
from opsbook.core.errors import OpsbookError
from opsbook.core.http.client_address import plain_address
from opsbook.core.http.fields import parse_number
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.performance.limits import store, wording
from opsbook.performance.limits.api import LimitInput
from opsbook.performance.limits.policy import NAME_PATTERN, SPANS
from opsbook.web.charts import Chart, Series, chart, filled, steps
from opsbook.web.contributions import Concern, Hit, finds, worries
from opsbook.web.forms import DURATIONS, Checked, Operator, Viewer, pulling, read_form, texts_of
from opsbook.web.templates import render

LIST = "/ops/performance/limits"
_STEP, _STEPS = timedelta(minutes=1), 60
_MANY_REFUSED = 100
"""In 15 minutes: fewer are somebody who was too fast."""
_MUCH_REFUSED = 0.2

router = APIRouter()

Name = Annotated[str, Path(pattern=NAME_PATTERN)]


@finds
async def find_limits(connection: Connection, text: str) -> Sequence[Hit]:
    """Rate limits by name."""
    limits = await store.list_limits(connection)
    hits = [each for each in limits if all(word in f"{each.policy} rate limit" for word in text.lower().split())]
    return [
        Hit(f"{each.policy}", page_of(each.policy), "Rate limit", "performance", wording.state(each)) for each in hits
    ]


@worries
async def limits_in_doubt(connection: Connection) -> Sequence[Concern]:
    """A limit that is off, that is counted by each process alone, or that refuses much of what is asked."""
    return [
        Concern(title, detail, page_of(limit.policy), "warn", limit.updated_at if limit.mode != "enforce" else None)
        for limit in await store.list_limits(connection)
        for title, detail in _doubts(limit)
    ]


@router.get("/performance/limits")
async def list_page(request: Request, viewer: Viewer) -> HTMLResponse:
    """Every policy: what is in force, and what came of it lately."""
    async with runtime_of(request).pool.connection() as connection:
        limits = await store.list_limits(connection)
        requests = await requests_chart(connection)
    return render(request, "performance/limits.html", viewer, limits=limits, chart=requests, wording=wording)


@router.get("/performance/limits/{policy}")
async def detail_page(request: Request, viewer: Viewer, policy: Name, changed: int | None = None) -> HTMLResponse:
    """One policy: what is declared and what is in force, who is near, who was refused, and other limits for a while."""
    return await _detail(request, viewer, policy, changed=changed)


@router.post("/performance/limits/{policy}", dependencies=Checked)
async def change(request: Request, operator: Operator, policy: Name) -> Response:
    """Have in force what the form says; a window that it leaves empty is as the code declares it."""
    form = await texts_of(request)
    try:
        given = read_form(LimitInput, form)
        limits = given.model_dump(exclude={"for_seconds", "until", "reason"})
        async with pulling(request, operator, given.reason) as connection:
            limit = await store.set_limit(
                connection, policy, limits, until=given.end(), reason=given.reason, keep=False
            )
    except OpsbookError as error:
        return await _detail(request, operator, policy, status=error.status, error=str(error), form=form)
    return _back_to(limit)


@router.post("/performance/limits/{policy}/reset", dependencies=Checked)
async def reset(request: Request, operator: Operator, policy: Name) -> Response:
    """Go back to what the code declares."""
    async with pulling(request, operator, (await texts_of(request)).get("reason")) as connection:
        limit = await store.reset_limit(connection, policy)
    return _back_to(limit)


@router.post("/performance/limits/{policy}/undo", dependencies=Checked)
async def undo(request: Request, operator: Operator, policy: Name) -> Response:
    """Go back to what was in force before the change that was seen."""
    try:
        seen = parse_number((await texts_of(request)).get("revision", ""))
        async with pulling(request, operator, "undo") as connection:
            limit = await store.undo_change(connection, policy, seen or 0)
    except OpsbookError as error:
        return await _detail(request, operator, policy, status=error.status, error=str(error))
    return _back_to(limit)


def page_of(policy: str) -> str:
    """The address of a policy's page."""
    return f"{LIST}/{quote(policy, safe='')}"


async def requests_chart(connection: Connection, policy: str | None = None) -> Chart:
    """What was admitted and refused in the last hour, by one policy or by all."""
    moments = steps(_STEP, _STEPS)
    rows = await store.counts(connection, _STEP * _STEPS, _STEP, policy)
    admitted = filled(moments, {row["at"]: row["admitted"] for row in rows})
    refused = filled(moments, {row["at"]: row["refused"] for row in rows})
    series = [Series("admitted", admitted, "bars"), Series("refused", refused, "bars", "warn")]
    return chart("Requests a minute", moments, series, step=_STEP)


async def _detail(
    request: Request,
    viewer: Identity,
    policy: str,
    *,
    changed: int | None = None,
    status: int = 200,
    error: str | None = None,
    form: object = None,
) -> HTMLResponse:
    may_change = viewer.may(Role.OPERATOR)
    async with runtime_of(request).pool.connection() as connection:
        limit = await store.get_limit(connection, policy)
        # Keys may be people's addresses: for those who can do something about them.
        refused = await store.refused_keys(connection, policy) if may_change else []
        near = await store.near_keys(connection, policy) if may_change else []
        requests = await requests_chart(connection, policy)
    return render(
        request,
        "performance/limit.html",
        viewer,
        status=status,
        limit=limit,
        chart=requests,
        refused=[{**row, "network": plain_network(row["key"])} for row in refused],
        near=[{**row, "network": plain_network(row["key"])} for row in near],
        just_changed=changed is not None and limit.revision == changed,
        wording=wording,
        spans=tuple(SPANS),
        durations=DURATIONS,
        form=form or {**limit.set, "mode": limit.mode if limit.is_changed else "enforce", "reason": ""},
        error=error,
        may_change=may_change,
    )


def plain_network(key: str) -> str | None:
    """The key as a network that can be blocked; None where it is no address."""
    address, slash, length = key.partition("/")
    return key if plain_address(address) == address and (not slash or length == "64") else None


def _back_to(limit: store.Limit) -> RedirectResponse:
    return RedirectResponse(f"{page_of(limit.policy)}?changed={limit.revision}", 303)


def _doubts(limit: store.Limit) -> Sequence[tuple[str, str]]:
    name, found = f"Rate limit {limit.policy}", list[tuple[str, str]]()
    if limit.is_changed and limit.mode != "enforce" and limit.until is None:
        found.append((f"{name} refuses nobody", f"It is {wording.state(limit)}, and will be until somebody resets it."))
    if limit.warning:
        found.append((f"{name} is counted in each process alone", f"{limit.warning}."))
    asked = limit.admitted + limit.refused
    if limit.refused >= _MANY_REFUSED and limit.refused >= _MUCH_REFUSED * asked:
        share = f"{limit.refused / asked:.0%}".replace("%", " %")
        found.append((f"{name} refuses {share} of requests", "Of the last 15 minutes. An attack, or a limit too low?"))
    return found
