"""Check-ins in the console: what checks in and how it has been going; one of them, with its levers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from opsbook.core.access import Identity, Role
from opsbook.core.console import parse_duration
from opsbook.core.errors import Invalid, OpsbookError
from opsbook.core.postgres.connect import Connection
from opsbook.core.runtime import runtime_of
from opsbook.debugging.checkins import recording, store
from opsbook.debugging.checkins.arrival import Expectation, parse_environment, parse_slug
from opsbook.debugging.checkins.bar import RUNS, bar_of
from opsbook.debugging.checkins.monitor import Monitor, State
from opsbook.debugging.checkins.schedule import Schedule
from opsbook.debugging.checkins.wording import schedule_in_words, state_in_words
from opsbook.debugging.page_parts import Checked, Operator, Viewer, pulling, texts_of
from opsbook.web.contributions import Concern, Hit, Lever, finds, offer, worries
from opsbook.web.templates import render

LIST = "/ops/check-ins"
MUTED_FOR: Mapping[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "until unmuted": None,
}
_TONES = {
    State.OK: "ok",
    State.IN_PROGRESS: "on",
    State.LATE: "warn",
    State.WAITING: "plain",
    State.ERROR: "alarm",
    State.MISSED: "alarm",
    State.TIMED_OUT: "alarm",
    State.UNREADABLE: "alarm",
}
_RUNS_SHOWN = 50
_MOST_HITS = 10

router = APIRouter()

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]

offer(
    Lever(
        "Have a job check in",
        "Told apart: ran, late, missed, failed, hanging",
        f"{LIST}/new",
        "debugging",
        "Logging & Debugging",
        "Did it run?",
    )
)


@finds
async def find_monitors(connection: Connection, text: str) -> Sequence[Hit]:
    """Monitors by name."""
    if not text:
        return ()
    now = datetime.now(UTC)
    found = [each for each in await store.list_monitors(connection) if text.lower() in each.slug]
    return [Hit(m.slug, page_of(m), "Check-in", "debugging", state_in_words(m, now)) for m in found[:_MOST_HITS]]


@worries
async def failing_monitors(connection: Connection) -> Sequence[Concern]:
    """What was missed, failed or hangs, and is not muted."""
    now = datetime.now(UTC)
    return [
        Concern(
            f"{monitor.slug} {state_in_words(monitor, now)}",
            f"In {monitor.environment}; expected {schedule_in_words(monitor)}.",
            page_of(monitor),
            "warn",
            monitor.failing_since or monitor.due_at_or_none(),
        )
        for monitor in await store.list_monitors(connection)
        if monitor.needs_somebody(now)
    ]


def page_of(monitor: Monitor) -> str:
    """The address of a monitor's page."""
    return f"{LIST}/{monitor.id}"


@router.get("/check-ins")
async def list_page(request: Request, viewer: Viewer) -> HTMLResponse:
    """Everything that checks in, those that need somebody first."""
    async with runtime_of(request).pool.connection() as connection:
        monitors = await store.list_monitors(connection)
        runs = await store.runs(connection, monitors, RUNS)
    now = datetime.now(UTC)
    return render(
        request,
        "debugging/check_ins.html",
        viewer,
        monitors=sorted(monitors, key=lambda monitor: not monitor.needs_somebody(now)),
        bars={monitor.id: bar_of(runs[monitor.id]) for monitor in monitors},
        may_change=viewer.may(Role.OPERATOR),
        **_shown(now),
    )


@router.get("/check-ins/new")
async def new_page(request: Request, operator: Operator) -> HTMLResponse:
    """The form of a new monitor."""
    return _new_page(request, operator, {})


@router.post("/check-ins/new", dependencies=Checked)
async def create(request: Request, operator: Operator) -> Response:
    """Make a monitor, so that it is missed even if it never checks in."""
    form = await texts_of(request)
    try:
        expectation = _expectation(form)
        slug, environment = parse_slug(form.get("slug", "")), parse_environment(form.get("environment", ""))
        async with pulling(request, operator, form.get("reason")) as connection:
            monitor = await recording.expect(connection, slug, environment, expectation, datetime.now(UTC))
    except OpsbookError as error:
        return _new_page(request, operator, form, error)
    return RedirectResponse(page_of(monitor), 303)


@router.get("/check-ins/{number}")
async def detail_page(request: Request, viewer: Viewer, number: Number) -> HTMLResponse:
    """One monitor: how it has been going, what is expected of it, its levers."""
    return await _detail_page(request, viewer, number)


@router.post("/check-ins/{number}", dependencies=Checked)
async def expect(request: Request, operator: Operator, number: Number) -> Response:
    """Expect something else of it."""
    form = await texts_of(request)
    try:
        expectation = _expectation(form)
        async with pulling(request, operator, form.get("reason")) as connection:
            monitor = await store.get(connection, number)
            await recording.expect(
                connection, monitor.slug, monitor.environment, expectation, datetime.now(UTC), monitor.project_id
            )
    except OpsbookError as error:
        return await _detail_page(request, operator, number, error=error)
    return RedirectResponse(f"{LIST}/{number}?done=expect", 303)


@router.post("/check-ins/{number}/mute", dependencies=Checked)
async def mute(request: Request, operator: Operator, number: Number) -> Response:
    """Let it worry nobody for a while, or worry again."""
    form = await texts_of(request)
    length = form.get("length", "")
    until = None
    if length in MUTED_FOR:
        chosen = MUTED_FOR[length]
        until = datetime.now(UTC) + chosen if chosen else store.FOR_EVER
    async with pulling(request, operator, form.get("reason")) as connection:
        await store.mute(connection, await store.get(connection, number), until)
    return RedirectResponse(f"{LIST}/{number}?done={'mute' if until else 'unmute'}", 303)


@router.post("/check-ins/{number}/address", dependencies=Checked)
async def new_address(request: Request, operator: Operator, number: Number) -> Response:
    """A new address, shown on the page that answers and nowhere else."""
    async with pulling(request, operator) as connection:
        secret = await store.new_secret(connection, await store.get(connection, number))
    address = f"{str(request.base_url).rstrip('/')}{store.path_of(secret)}"
    return await _detail_page(request, operator, number, address=address)


@router.get("/check-ins/{number}/delete")
async def delete_page(request: Request, operator: Operator, number: Number) -> HTMLResponse:
    """What a deletion would take away."""
    async with runtime_of(request).pool.connection() as connection:
        monitor = await store.get(connection, number)
    return render(request, "debugging/check_in_delete.html", operator, monitor=monitor, **_shown(datetime.now(UTC)))


@router.post("/check-ins/{number}/delete", dependencies=Checked)
async def delete(request: Request, operator: Operator, number: Number) -> Response:
    """Forget a monitor and its runs."""
    async with pulling(request, operator, (await texts_of(request)).get("reason")) as connection:
        await store.delete(connection, await store.get(connection, number))
    return RedirectResponse(LIST, 303)


def _new_page(
    request: Request, operator: Identity, form: Mapping[str, str], error: OpsbookError | None = None
) -> HTMLResponse:
    environment = runtime_of(request).settings.environment
    usual = {"slug": "", "environment": environment, "schedule": "", "timezone": "UTC", "margin": "1m"}
    form = {**usual, "max_runtime": "30m", "failure_threshold": "1", "recovery_threshold": "1", **form}
    status = error.status if error else 200
    return render(
        request, "debugging/check_in_new.html", operator, status=status, form=form, error=str(error) if error else None
    )


async def _detail_page(
    request: Request, viewer: Identity, number: int, *, error: OpsbookError | None = None, address: str | None = None
) -> HTMLResponse:
    async with runtime_of(request).pool.connection() as connection:
        monitor = await store.get(connection, number)
        runs = (await store.runs(connection, [monitor], _RUNS_SHOWN))[monitor.id]
    return render(
        request,
        "debugging/check_in.html",
        viewer,
        status=error.status if error else 200,
        error=str(error) if error else None,
        done=request.query_params.get("done", ""),
        address=address,
        monitor=monitor,
        runs=runs,
        bar=bar_of(runs),
        form=_form_of(monitor),
        lengths=list(MUTED_FOR),
        may_change=viewer.may(Role.OPERATOR),
        **_shown(datetime.now(UTC)),
    )


def _shown(now: datetime) -> dict[str, Any]:
    """What the templates ask of a monitor."""
    return {
        "now": now,
        "for_ever": store.FOR_EVER,
        "tones": _TONES,
        "state_in_words": state_in_words,
        "schedule_in_words": schedule_in_words,
    }


def _form_of(monitor: Monitor) -> Mapping[str, str]:
    return {
        "schedule": monitor.schedule or "",
        "timezone": monitor.timezone,
        "margin": _duration(monitor.margin),
        "max_runtime": _duration(monitor.max_runtime),
        "failure_threshold": str(monitor.failure_threshold),
        "recovery_threshold": str(monitor.recovery_threshold),
    }


def _duration(length: timedelta) -> str:
    """As `parse_duration` reads it, in the largest unit that gives a whole number."""
    seconds = round(length.total_seconds())
    unit, size = next(
        ((u, s) for u, s in (("d", 86_400), ("h", 3_600), ("m", 60)) if seconds and not seconds % s), ("s", 1)
    )
    return f"{seconds // size}{unit}"


def _expectation(form: Mapping[str, str]) -> Expectation:
    written = form.get("schedule", "").strip()
    return Expectation(
        Schedule.parse(written, form.get("timezone", "").strip() or "UTC") if written else None,
        parse_duration(form.get("margin", "").strip()),
        parse_duration(form.get("max_runtime", "").strip()),
        _threshold(form.get("failure_threshold", "")),
        _threshold(form.get("recovery_threshold", "")),
    )


def _threshold(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 720):
        raise Invalid(f"{text[:20]!r} is no threshold; write a whole number from 1 to 720")
    return int(text[:4])
