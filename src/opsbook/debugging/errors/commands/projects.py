"""`opsbook errors project` and `opsbook errors key`: who may send errors, how many, and by which DSN."""

from __future__ import annotations

from typing import Annotated

import typer

from opsbook.core.console import (
    DryRunOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    out,
    print_json,
    print_table,
    settings,
)
from opsbook.core.ops_database import act, read
from opsbook.debugging.errors import projects
from opsbook.debugging.errors.projects import USUAL_QUOTAS, Quotas

project_app = typer.Typer(no_args_is_help=True, help="Who sends errors, and how many they may.")
key_app = typer.Typer(no_args_is_help=True, help="The keys in DSNs: list, create, disable.")

ProjectName = Annotated[str, typer.Argument(help="The project's name.")]
Key = Annotated[str, typer.Argument(help="The key, as `opsbook errors key list` shows it.")]
MinuteOption = Annotated[int | None, typer.Option("--per-minute", min=1, max=2**31 - 1, help="Events a minute.")]
HourOption = Annotated[int | None, typer.Option("--per-hour", min=1, max=2**31 - 1, help="Events an hour.")]
DayOption = Annotated[int | None, typer.Option("--per-day", min=1, max=2**31 - 1, help="Events a day.")]
MegabytesOption = Annotated[
    int | None, typer.Option("--megabytes-per-day", min=1, max=2**31 - 1, help="What is kept of it a day, on disk.")
]

_COLUMNS = (
    *("id", "name", "events_per_minute", "events_per_hour", "events_per_day", "megabytes_per_day"),
    *("events_of_day", "created_at"),
)
_USUAL_ADDRESS = "http://127.0.0.1:8000"


@project_app.command("list")
def list_projects(as_json: JsonOption = False) -> None:
    """List the projects.

    Example: opsbook errors project list
    """
    rows = read(projects.list_projects)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("project", "name", "per minute", "per hour", "per day", "MB per day", "events of a day", "created"),
        [tuple(row[column] for column in _COLUMNS) for row in rows],
        "No projects. Make one: opsbook errors project create shop",
    )


@project_app.command("create")
def create_project(
    name: ProjectName,
    per_minute: MinuteOption = USUAL_QUOTAS.events_per_minute,
    per_hour: HourOption = USUAL_QUOTAS.events_per_hour,
    per_day: DayOption = USUAL_QUOTAS.events_per_day,
    megabytes_per_day: MegabytesOption = USUAL_QUOTAS.megabytes_per_day,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a project, and print the DSN that its SDKs take.

    Example: opsbook errors project create shop --per-hour 100000
    """
    quotas = Quotas(per_minute, per_hour, per_day, megabytes_per_day)
    project, key = act(reason, lambda connection: projects.create_project(connection, name, quotas))
    dsn = _dsn(key["public_key"], project["id"])
    if as_json:
        print_json({**project, "public_key": key["public_key"], "dsn": dsn})
        return
    out.print(f"project {project['id']}: {project['name']}\n{dsn}", markup=False, soft_wrap=True)


@project_app.command("quota")
def set_quotas(
    name: ProjectName,
    per_minute: MinuteOption = None,
    per_hour: HourOption = None,
    per_day: DayOption = None,
    megabytes_per_day: MegabytesOption = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Set how much a project may send; what is left out is not limited.

    Example: opsbook errors project quota shop --per-hour 100000 --megabytes-per-day 2000 --yes
    """
    quotas = Quotas(per_minute, per_hour, per_day, megabytes_per_day)
    what = f"Let {name} send {_in_words(quotas)}"
    if dry_run:
        out.print(f"would: {what}", markup=False)
        return
    confirm(what, yes=yes)
    act(reason, lambda connection: projects.set_quotas(connection, name, quotas))
    out.print(f"done: {what}", markup=False)


def _in_words(quotas: Quotas) -> str:
    amounts = {
        "events a minute": quotas.events_per_minute,
        "events an hour": quotas.events_per_hour,
        "events a day": quotas.events_per_day,
        "MB a day": quotas.megabytes_per_day,
    }
    limits = [f"{most:,} {unit}" for unit, most in amounts.items() if most is not None]
    return f"at most {', '.join(limits)}" if limits else "as much as it likes"


@key_app.command("list")
def list_keys(
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None, as_json: JsonOption = False
) -> None:
    """List keys, each with the DSN that an SDK takes.

    Example: opsbook errors key list --project default
    """
    rows = read(lambda connection: projects.list_keys(connection, project))
    rows = [{**row, "dsn": _dsn(row["public_key"], row["project_id"])} for row in rows]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = "disabled" if row["disabled_at"] else "in use"
        out.print(
            f"{row['dsn']}  {row['project']}, {row['label'] or 'no label'}, {state}", markup=False, soft_wrap=True
        )


@key_app.command("create")
def create_key(
    project: ProjectName,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key of a project.

    Example: opsbook errors key create default --label "the shop's browser pages"
    """
    row = act(reason, lambda connection: projects.create_key(connection, project, label))
    dsn = _dsn(row["public_key"], row["project_id"])
    if as_json:
        print_json({**row, "dsn": dsn})
        return
    out.print(dsn, markup=False, soft_wrap=True)


@key_app.command("disable")
def disable_key(key: Key, reason: ReasonOption = None, yes: YesOption = False, dry_run: DryRunOption = False) -> None:
    """Refuse what is sent by a key, within a second, on every server.

    Example: opsbook errors key disable 0123456789abcdef0123456789abcdef --yes
    """
    _set_key(key, reason, disabled=True, yes=yes, dry_run=dry_run)


@key_app.command("enable")
def enable_key(key: Key, reason: ReasonOption = None, yes: YesOption = False, dry_run: DryRunOption = False) -> None:
    """Accept what is sent by a key again.

    Example: opsbook errors key enable 0123456789abcdef0123456789abcdef --yes
    """
    _set_key(key, reason, disabled=False, yes=yes, dry_run=dry_run)


def _set_key(key: str, reason: str | None, *, disabled: bool, yes: bool, dry_run: bool) -> None:
    what = f"{'Disable' if disabled else 'Enable'} the key {key}"
    if dry_run:
        out.print(f"would: {what}", markup=False)
        return
    confirm(what, yes=yes)
    act(reason, lambda connection: projects.set_key(connection, key, disabled=disabled))
    out.print(f"the key {key} is {'disabled' if disabled else 'in use'}", markup=False)


def _dsn(key: str, project_id: int) -> str:
    """By OPSBOOK_URL, or where `opsbook up` listens unless told otherwise."""
    return projects.written_dsn(key, settings().url or _USUAL_ADDRESS, project_id)
