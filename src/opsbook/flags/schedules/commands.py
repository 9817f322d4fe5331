"""`opsbook flags schedule`: on at, off at, ramps; pause and resume."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from opsbook.core.console import (
    DryRunOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    out,
    parse_duration,
    print_json,
    print_table,
)
from opsbook.core.errors import Invalid
from opsbook.core.http.fields import Moment
from opsbook.core.ops_database import act, read
from opsbook.flags.schedules import store
from opsbook.flags.schedules.model import USUAL_RAMP, Steps, dates, effect_in_words, ramp

app = typer.Typer(no_args_is_help=True, help="Let the worker change flags when their time has come.")

Name = Annotated[str, typer.Argument(help="The flag's name.")]
Id = Annotated[int, typer.Argument(help="The schedule's number.", min=1)]

_MOMENTS: TypeAdapter[datetime] = TypeAdapter(Moment)
_MOMENT_HELP = "2031-01-31T14:05:00Z, or from now as 2h or 3d."


@app.command("list")
def list_schedules(
    flag: Annotated[str | None, typer.Argument(help="Of this flag; left out, of all.")] = None,
    finished: Annotated[bool, typer.Option("--finished", help="Finished ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List schedules, the soonest first.

    Example: opsbook flags schedule list
    """
    rows = read(lambda connection: store.list_schedules(connection, flag, finished=finished))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("number", "flag", "next", "step", "state", "made by"),
        [(r["id"], r["flag"], _next(r), f"{r['done']} of {len(r['steps'])}", _state(r), r["made_by"]) for r in rows],
        "Nothing is scheduled. For a ramp: opsbook flags schedule ramp new-checkout",
    )


@app.command()
def add(
    name: Name,
    on_at: Annotated[str | None, typer.Option(help=f"When it goes on: {_MOMENT_HELP}")] = None,
    off_at: Annotated[str | None, typer.Option(help=f"When it goes off: {_MOMENT_HELP}")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Switch a flag on, off or both at their moments.

    Example: opsbook flags schedule add summer-sale --on-at 2031-06-01T00:00:00Z --off-at 2031-09-01T00:00:00Z
    """
    steps = dates(_moment(on_at), _moment(off_at))
    _add(name, "dates", steps, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command("ramp")
def ramp_(
    name: Name,
    steps: Annotated[str, typer.Option(help="The percentages, rising.")] = ",".join(f"{p:g}" for p in USUAL_RAMP),
    every: Annotated[str, typer.Option(help="The time from one to the next, as 12h or 1d.")] = "1d",
    start: Annotated[str | None, typer.Option("--from", help=f"The first step: {_MOMENT_HELP} Left out, now.")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Roll a flag out step by step; the first switches it on, and a kill pauses the rest.

    Example: opsbook flags schedule ramp new-checkout --steps 1,5,25,50,100 --every 1d
    """
    planned = ramp(_percentages(steps), parse_duration(every), _moment(start) or datetime.now(UTC))
    _add(name, "ramp", planned, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def pause(schedule: Id, reason: ReasonOption = None, as_json: JsonOption = False) -> None:
    """Take no further step until it is resumed.

    Example: opsbook flags schedule pause 7 --reason "errors rise"
    """
    _print(act(reason, lambda connection: store.pause(connection, schedule)), as_json)


@app.command()
def resume(schedule: Id, reason: ReasonOption = None, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Go on: a ramp from where it stood, dates as they are.

    Example: opsbook flags schedule resume 7 --yes
    """
    confirm(f"Resume schedule {schedule}", yes=yes)
    _print(act(reason, lambda connection: store.resume(connection, schedule)), as_json)


@app.command()
def remove(schedule: Id, reason: ReasonOption = None, yes: YesOption = False) -> None:
    """Remove a schedule; what it has done stays done.

    Example: opsbook flags schedule remove 7 --yes
    """
    confirm(f"Remove schedule {schedule}", yes=yes)
    act(reason, lambda connection: store.remove(connection, schedule))
    out.print(f"removed schedule {schedule}", markup=False)


def _add(name: str, kind: str, steps: Steps, reason: str | None, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    plan = "; ".join(_step(step) for step in steps)
    if dry_run:
        out.print(f"would schedule {name}: {plan}", markup=False)
        return
    confirm(f"Schedule {name}: {plan}", yes=yes)
    _print(act(reason, lambda connection: store.add(connection, name, kind, steps)), as_json)


def _print(row: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    out.print(f"schedule {row['id']} of {row['flag']} is {_state(row)}; next: {_next(row)}", markup=False)


def _state(row: Mapping[str, Any]) -> str:
    if row["finished_at"]:
        return "finished"
    return f"paused: {row['paused_because']}" if row["paused_at"] else "waiting"


def _next(row: Mapping[str, Any]) -> str:
    return _step(row["next_step"]) if row["next_step"] else "nothing"


def _step(step: Mapping[str, Any]) -> str:
    return f"{effect_in_words(step)} at {datetime.fromisoformat(step['at']).astimezone():%Y-%m-%d %H:%M}"


def _percentages(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise Invalid(f"{text!r} are no percentages; write them as 1,5,25,50,100") from error


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    if text[:-1].isdigit():
        return datetime.now(UTC) + parse_duration(text)
    try:
        return _MOMENTS.validate_python(text)
    except ValidationError as error:
        raise Invalid(f"{text!r} is no time; write {_MOMENT_HELP}") from error
