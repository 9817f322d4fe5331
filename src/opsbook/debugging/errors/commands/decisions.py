"""Deciding about issues by command: resolve, ignore, reopen, assign, comment, merge, split, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from psycopg.rows import DictRow

from opsbook.core.console import (
    DryRunOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    out,
    parse_duration,
    print_json,
)
from opsbook.core.errors import Invalid
from opsbook.core.ops_database import act, read
from opsbook.core.postgres.connect import Connection
from opsbook.debugging.errors import issues
from opsbook.debugging.logs.terminal import harmless

app = typer.Typer()

Number = Annotated[int, typer.Argument(help="The issue's number.", min=1, max=2**63 - 1)]
Numbers = Annotated[list[int], typer.Argument(help="Numbers of issues.", min=1, max=2**63 - 1)]

Decision = Callable[[Connection], Awaitable[DictRow]]


@app.command()
def resolve(
    issue: Number,
    in_next_release: Annotated[
        bool, typer.Option("--in-next-release", help="Reopen only for a release after its last one.")
    ] = False,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Resolve an issue; should it come back, it is reopened as a regression.

    Example: opsbook errors resolve 17 --in-next-release --yes
    """
    what = "Resolve in the next release" if in_next_release else "Resolve"

    def decision(connection: Connection) -> Awaitable[DictRow]:
        return issues.resolve(connection, issue, in_next_release=in_next_release)

    _decide(what, issue, decision, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def ignore(
    issue: Number,
    for_: Annotated[str | None, typer.Option("--for", help="For 2h, 7d …")] = None,
    events: Annotated[int | None, typer.Option(min=1, help="Until it happened so many more times.")] = None,
    people: Annotated[int | None, typer.Option(min=1, help="Until so many more people met it.")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ignore an issue: for good, for a time, or until it happened or met people so many more times.

    Example: opsbook errors ignore 17 --for 7d --events 1000 --yes
    """
    until = datetime.now(UTC) + parse_duration(for_) if for_ else None

    def decision(connection: Connection) -> Awaitable[DictRow]:
        return issues.ignore(connection, issue, until=until, events=events, people=people)

    _decide("Ignore", issue, decision, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def reopen(
    issue: Number,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look at a resolved or ignored issue again.

    Example: opsbook errors reopen 17 --yes
    """
    _decide("Reopen", issue, lambda c: issues.reopen(c, issue), reason, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def assign(
    issue: Number,
    assignee: Annotated[str | None, typer.Argument(help="Who looks after it; left out, nobody.")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say who looks after an issue.

    Example: opsbook errors assign 17 ada@example.com --yes
    """

    def decision(connection: Connection) -> Awaitable[DictRow]:
        return issues.assign(connection, issue, assignee)

    _decide(f"Assign to {assignee or 'nobody'}", issue, decision, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def comment(issue: Number, text: Annotated[str, typer.Argument(help="What is to be known.")]) -> None:
    """Note something about an issue.

    Example: opsbook errors comment 17 "only with the old client"
    """
    row = act(None, lambda connection: issues.comment(connection, issue, text))
    out.print(f"noted on issue {issue} as {row['actor']}", markup=False)


@app.command()
def merge(
    into: Number,
    others: Numbers,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make other issues part of one, with all their events to come.

    Example: opsbook errors merge 17 18 21 --yes
    """
    names = ", ".join(_named(other) for other in others)

    def decision(connection: Connection) -> Awaitable[DictRow]:
        return issues.merge(connection, into, others)

    _decide(f"Merge {names} into", into, decision, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def split(
    issue: Number,
    groups: Annotated[list[int], typer.Argument(help="Numbers of groups, as `opsbook errors show` has them.")],
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take groups of events out of an issue into one of their own.

    Example: opsbook errors split 17 40 --yes
    """
    what = f"Take groups {', '.join(map(str, groups))} out of"

    def decision(connection: Connection) -> Awaitable[DictRow]:
        return issues.split(connection, issue, groups)

    _decide(what, issue, decision, reason, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def delete(issue: Number, reason: ReasonOption = None, yes: YesOption = False, dry_run: DryRunOption = False) -> None:
    """Forget an issue and its events; there is no way back.

    Example: opsbook errors delete 17 --yes
    """
    what = f"Delete {_named(issue)}, with its events, for good"
    if dry_run:
        out.print(f"would: {what}", markup=False)
        return
    confirm(what, yes=yes)
    act(reason, lambda connection: issues.delete(connection, issue))
    out.print(f"deleted issue {issue}", markup=False)


def _decide(
    what: str, issue: int, decision: Decision, reason: str | None, *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Tell what a decision touches, have it confirmed, take it, and tell what came of it."""
    told = f"{what} {_named(issue)}"
    if dry_run:
        out.print(f"would: {told}", markup=False)
        return
    confirm(told, yes=yes)
    row = act(reason, decision)
    if as_json:
        print_json(row)
        return
    out.print(f"issue {row['id']}: {row['status']}, {row['events']} events, {row['people']} people", markup=False)


def _named(issue: int) -> str:
    row = read(lambda connection: issues.get_issue(connection, issue))
    if row["status"] == "merged":
        raise Invalid(f"issue {issue} was merged into {row['merged_into']}")
    return f"issue {row['id']} ({harmless(row['title'])[:80]}; {row['events']} events, {row['people']} people)"
