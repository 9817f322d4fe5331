"""A flag's schedules in the console: what is planned, by whom and when next; new ones, pauses and cancellations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg.rows import DictRow

from opsbook.core.access import Identity, Role
from opsbook.core.errors import Invalid, NotFound, OpsbookError
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.flags import store as flags
from opsbook.flags.fields import MOST_REVISION
from opsbook.flags.page_parts import Name, page_of, pulling
from opsbook.flags.schedules import store
from opsbook.flags.schedules.form import UNITS, DatesForm, RampForm
from opsbook.flags.schedules.model import Steps, effect_in_words
from opsbook.web.forms import Checked, Operator, Viewer, texts_of
from opsbook.web.templates import render

_DOINGS = {"pause": store.pause, "resume": store.resume}
_MOST_FINISHED = 10

router = APIRouter()

Number = Annotated[int, Path(ge=1, le=MOST_REVISION)]


@dataclass(frozen=True, slots=True)
class StepShown:
    """A step as a page shows it."""

    at: datetime
    effect: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class _Typed:
    """What a person typed into either form, and what is wrong with it."""

    dates: DatesForm = field(default_factory=DatesForm)
    ramp: RampForm = field(default_factory=RampForm)
    preview: Steps = ()
    error: OpsbookError | None = None


@router.get("/flags/{name}/schedules")
async def schedules_page(
    request: Request,
    viewer: Viewer,
    name: Name,
    made: int | None = None,
    changed: int | None = None,
    gone: int | None = None,
) -> HTMLResponse:
    """What is planned for a flag; `made`, `changed` and `gone` say what has just been done."""
    return await _page(request, viewer, name, _Typed(), made=made, changed=changed, gone=gone)


@router.post("/flags/{name}/schedules/dates", dependencies=Checked)
async def plan_dates(request: Request, operator: Operator, name: Name) -> Response:
    """Switch the flag on, off or both at their moments."""
    form = await texts_of(request)
    given = DatesForm.sent(form)
    try:
        return await _plan(request, operator, name, "dates", given.steps(), form.get("reason"))
    except OpsbookError as error:
        return await _page(request, operator, name, _Typed(dates=given, error=error))


@router.post("/flags/{name}/schedules/ramp", dependencies=Checked)
async def plan_ramp(request: Request, operator: Operator, name: Name) -> Response:
    """Show the steps of a ramp with their dates; make it once these very steps have been seen."""
    form = await texts_of(request)
    given = RampForm.sent(form)
    try:
        steps = given.steps(datetime.now(UTC))
        if form.get("do") == "save" and form.get("previewed") == given.content:
            return await _plan(request, operator, name, "ramp", steps, form.get("reason"))
    except OpsbookError as error:
        return await _page(request, operator, name, _Typed(ramp=given, error=error))
    return await _page(request, operator, name, _Typed(ramp=given, preview=steps))


@router.post("/flags/{name}/schedules/{number}", dependencies=Checked)
async def change(request: Request, operator: Operator, name: Name, number: Number) -> Response:
    """Pause a schedule, let it go on, or cancel it."""
    form = await texts_of(request)
    try:
        async with pulling(request, operator, form.get("reason")) as connection:
            await _require_of(connection, number, name)
            await _do(connection, form.get("do", ""), number)
    except OpsbookError as error:
        return await _page(request, operator, name, _Typed(error=error))
    return _back(name, **{"gone" if form.get("do") == "cancel" else "changed": number})


async def _plan(
    request: Request, operator: Identity, name: str, kind: str, steps: Steps, reason: str | None
) -> Response:
    async with pulling(request, operator, reason) as connection:
        made = await store.add(connection, name, kind, steps)
    return _back(name, made=made["id"])


async def _require_of(connection: Connection, number: int, name: str) -> None:
    if number not in [each["id"] for each in await store.list_schedules(connection, name, finished=True)]:
        raise NotFound(f"{name!r} has no schedule {number}; somebody may have cancelled it")


async def _do(connection: Connection, doing: str, number: int) -> None:
    if doing == "cancel":
        await store.remove(connection, number)
    elif doing in _DOINGS:
        await _DOINGS[doing](connection, number)
    else:
        raise Invalid("a schedule is paused, resumed or cancelled")


def _back(name: str, **said: int) -> RedirectResponse:
    return RedirectResponse(f"{page_of(name)}/schedules?{urlencode(said)}", 303)


async def _page(
    request: Request,
    viewer: Identity,
    name: str,
    typed: _Typed,
    *,
    made: int | None = None,
    changed: int | None = None,
    gone: int | None = None,
) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        flag = await flags.get_flag(connection, name)
        rows = await store.list_schedules(connection, name, finished=True)
    planned = [_shown(row) for row in rows if not row["finished_at"]]
    return render(
        request,
        "flags/schedules.html",
        viewer,
        status=typed.error.status if typed.error else 200,
        flag=flag,
        planned=planned,
        finished=[_shown(row) for row in rows if row["finished_at"]][:_MOST_FINISHED],
        made=made,
        changed=next((each for each in planned if each["id"] in (made, changed)), None),
        gone=gone,
        typed=typed,
        preview=_steps(typed.preview, 0),
        units=list(UNITS),
        error=str(typed.error) if typed.error else None,
        may_change=viewer.may(Role.OPERATOR),
    )


def _shown(row: DictRow) -> dict[str, Any]:
    steps = _steps(row["steps"], row["done"])
    return {**row, "steps": steps, "next": next((step for step in steps if not step.done), None)}


def _steps(steps: Steps, done: int) -> Sequence[StepShown]:
    return [
        StepShown(datetime.fromisoformat(step["at"]).astimezone(UTC), effect_in_words(step), place < done)
        for place, step in enumerate(steps)
    ]
