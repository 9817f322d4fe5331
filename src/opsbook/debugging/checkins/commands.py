"""`opsbook check-in`: tell of a run, or run a command and tell of it. `opsbook check-ins`: what checks in, and how."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import psycopg
import typer

from opsbook.core.console import (
    DryRunOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    err,
    out,
    parse_duration,
    print_json,
    print_table,
    settings,
)
from opsbook.core.errors import Invalid, OpsbookError
from opsbook.core.ops_database import act, read
from opsbook.core.postgres.connect import Connection
from opsbook.debugging.checkins import recording, store
from opsbook.debugging.checkins.arrival import Arrival, Expectation, parse_environment, parse_slug
from opsbook.debugging.checkins.monitor import Monitor, Status
from opsbook.debugging.checkins.schedule import Schedule
from opsbook.debugging.checkins.wording import describe, schedule_in_words, state_in_words
from opsbook.debugging.checkins.wrapped import run_command

app = typer.Typer(no_args_is_help=True, help="What runs on a schedule: whether it ran, when, and how it went.")


class Reported(StrEnum):
    """How a run can be said to be going."""

    ok = "ok"
    error = "error"
    in_progress = "in_progress"


Name = Annotated[str, typer.Argument(help="The monitor's name.")]
EnvironmentOption = Annotated[
    str | None, typer.Option("--environment", help="In which environment; left out of `check-in`, ENVIRONMENT.")
]
ScheduleOption = Annotated[str | None, typer.Option(help='When it is expected: "5 * * * *", @daily, "every 2 hours".')]
ZoneOption = Annotated[str, typer.Option(help="Time zone of the schedule, as in the IANA database.")]
MarginOption = Annotated[str | None, typer.Option(help="How late it may begin, as 5m; at first 1m.")]
RuntimeOption = Annotated[str | None, typer.Option(help="How long it may take, as 2h; at first 30m.")]

_RUNS_SHOWN = 20


def check_in(
    name: Name,
    command: Annotated[list[str] | None, typer.Argument(help="After `--`: a command to run and tell of.")] = None,
    status: Annotated[Reported | None, typer.Option(help="How it goes; left out, ok.")] = None,
    schedule: ScheduleOption = None,
    timezone: ZoneOption = "UTC",
    margin: MarginOption = None,
    max_runtime: RuntimeOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Tell that something has run, or run it and tell how that went.

    With a command the exit code is the command's, and it runs even when nobody can be told.

    Example: opsbook check-in nightly-backup --schedule "30 2 * * *" --margin 10m -- pg_dump --file=backup.sql
    """
    if command and status:
        raise Invalid("with a command the status is the command's: leave --status out")
    arrival = Arrival(
        parse_slug(name),
        Status(status or Reported.ok),
        datetime.now(UTC),
        environment=parse_environment(environment or settings().environment),
        expectation=_expectation(schedule, timezone, margin, max_runtime),
    )
    if command:
        raise typer.Exit(_run(command, arrival))
    act(None, lambda connection: recording.record_one(connection, arrival))
    out.print(f"{arrival.slug}: {arrival.status.replace('_', ' ')}", markup=False)


@app.command("list")
def list_(environment: EnvironmentOption = None, as_json: JsonOption = False) -> None:
    """List what checks in. Exit 1: something was missed, failed or hangs, and is not muted.

    Example: opsbook check-ins list
    """
    monitors, now = read(lambda connection: store.list_monitors(connection, None, environment)), datetime.now(UTC)
    if as_json:
        print_json([describe(monitor, now) for monitor in monitors])
    else:
        print_table(
            ("name", "environment", "state", "schedule", "last", "next", "muted until"),
            [_row(monitor, now) for monitor in monitors],
            "Nothing checks in yet. Try: opsbook check-in nightly-backup",
        )
    if any(monitor.needs_somebody(now) for monitor in monitors):
        raise typer.Exit(1)


@app.command()
def show(name: Name, environment: EnvironmentOption = None, as_json: JsonOption = False) -> None:
    """Show one, with its newest runs.

    Example: opsbook check-ins show nightly-backup
    """

    async def look(connection: Connection) -> tuple[Monitor, Sequence[Mapping[str, Any]]]:
        monitor = await store.find(connection, name, environment)
        return monitor, (await store.runs(connection, [monitor], _RUNS_SHOWN))[monitor.id]

    (monitor, runs), now = read(look), datetime.now(UTC)
    if as_json:
        print_json({**describe(monitor, now), "runs": runs})
        return
    out.print(
        f"{monitor.slug} in {monitor.environment}: {state_in_words(monitor, now)};"
        f" expected {schedule_in_words(monitor)}",
        markup=False,
    )
    if monitor.problem:
        out.print(f"the newest schedule sent along could not be taken: {monitor.problem}", markup=False)
    print_table(
        ("began", "status", "seconds", "exit code", "release"),
        [(r["started_at"], r["status"], r["duration_seconds"], r["exit_code"], r["release"]) for r in runs],
        "It has not checked in yet.",
    )


@app.command("set")
def set_(
    name: Name,
    schedule: ScheduleOption = None,
    timezone: ZoneOption = "UTC",
    margin: MarginOption = None,
    max_runtime: RuntimeOption = None,
    failures: Annotated[int | None, typer.Option(help="Failures in a row until it is failing.", min=1, max=720)] = None,
    recoveries: Annotated[int | None, typer.Option(help="Successes until it is well again.", min=1, max=720)] = None,
    environment: EnvironmentOption = None,
    reason: ReasonOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is expected of a monitor, which is made where it is not there yet.

    Example: opsbook check-ins set nightly-backup --schedule "30 2 * * *" --timezone Europe/Berlin --max-runtime 2h
    """
    expectation = _expectation(schedule, timezone, margin, max_runtime) or Expectation()
    expectation = replace(expectation, failure_threshold=failures, recovery_threshold=recoveries)
    slug, where, now = parse_slug(name), parse_environment(environment or settings().environment), datetime.now(UTC)
    if dry_run:
        out.print(f"would change what is expected of {slug} in {where}", markup=False)
        return
    monitor = act(reason, lambda connection: recording.expect(connection, slug, where, expectation, now))
    if as_json:
        print_json(describe(monitor, now))
        return
    out.print(f"{slug} in {where} is expected {schedule_in_words(monitor)}", markup=False)


@app.command()
def mute(
    name: Name,
    length: Annotated[str | None, typer.Option("--for", help="As 2h or 7d; left out, until `unmute`.")] = None,
    environment: EnvironmentOption = None,
    reason: ReasonOption = None,
) -> None:
    """Let it worry nobody: it is still shown, but no longer in health.

    Example: opsbook check-ins mute nightly-backup --for 7d --reason "moving to the new host"
    """
    until = datetime.now(UTC) + parse_duration(length) if length else store.FOR_EVER
    act(reason, lambda connection: _mute(connection, name, environment, until))
    out.print(f"{name} is muted {f'for {length}' if length else 'until it is unmuted'}", markup=False)


@app.command()
def unmute(name: Name, environment: EnvironmentOption = None, reason: ReasonOption = None) -> None:
    """Let it worry again.

    Example: opsbook check-ins unmute nightly-backup
    """
    act(reason, lambda connection: _mute(connection, name, environment, None))
    out.print(f"{name} is no longer muted", markup=False)


@app.command()
def address(
    name: Name, environment: EnvironmentOption = None, reason: ReasonOption = None, yes: YesOption = False
) -> None:
    """Make a new address for a monitor, shown this once: whatever calls it, checks in. An older one ends.

    Example: opsbook check-ins address nightly-backup --yes
    """

    async def make(connection: Connection) -> str:
        return await store.new_secret(connection, await store.find(connection, name, environment))

    confirm(f"Make a new address for {name}, and end the one that it may have", yes=yes)
    secret = act(reason, make)
    base = (settings().url or "").rstrip("/")
    out.print(f"{base}{store.path_of(secret)}", markup=False, soft_wrap=True)


@app.command()
def delete(
    name: Name,
    environment: EnvironmentOption = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Forget a monitor and its runs.

    Example: opsbook check-ins delete nightly-backup --yes
    """

    async def forget(connection: Connection) -> None:
        await store.delete(connection, await store.find(connection, name, environment))

    if dry_run:
        monitor = read(lambda connection: store.find(connection, name, environment))
        out.print(f"would delete {monitor.slug} in {monitor.environment}, with its runs", markup=False)
        return
    confirm(f"Delete {name} with its runs", yes=yes)
    act(reason, forget)
    out.print(f"deleted {name}", markup=False)


def _run(command: Sequence[str], arrival: Arrival) -> int:
    """Tell that it begins, run it, tell how it ended; the run is what matters, telling comes second."""
    run_id, began = uuid.uuid4(), time.monotonic()
    _try_to_tell(replace(arrival, id=run_id, status=Status.IN_PROGRESS))
    code = run_command(command)
    ended = replace(
        arrival,
        id=run_id,
        status=Status.OK if code == 0 else Status.ERROR,
        at=datetime.now(UTC),
        duration_seconds=time.monotonic() - began,
        exit_code=code,
    )
    _try_to_tell(ended)
    return code


def _try_to_tell(arrival: Arrival) -> None:
    try:
        act(None, lambda connection: recording.record_one(connection, arrival))
    except (OpsbookError, psycopg.Error) as error:
        err.print(f"could not tell that {arrival.slug} is {arrival.status}: {error}", markup=False, soft_wrap=True)


async def _mute(connection: Connection, name: str, environment: str | None, until: datetime | None) -> None:
    await store.mute(connection, await store.find(connection, name, environment), until)


def _expectation(
    schedule: str | None, timezone: str, margin: str | None, max_runtime: str | None
) -> Expectation | None:
    if schedule is None and margin is None and max_runtime is None:
        return None
    return Expectation(
        Schedule.parse(schedule, timezone) if schedule is not None else None,
        parse_duration(margin) if margin is not None else None,
        parse_duration(max_runtime) if max_runtime is not None else None,
    )


def _row(monitor: Monitor, now: datetime) -> Sequence[object]:
    return (
        monitor.slug,
        monitor.environment,
        state_in_words(monitor, now),
        schedule_in_words(monitor),
        monitor.last_at,
        monitor.due_at_or_none(),
        monitor.muted_until,
    )
