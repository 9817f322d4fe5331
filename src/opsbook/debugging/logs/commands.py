"""`opsbook logs`: follow, search, level; straight on the ops database, so that it works with no server up."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import psycopg
import typer

from opsbook.core.access.identity import host_identity
from opsbook.core.audit import acting
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
    run,
    settings,
)
from opsbook.core.errors import Invalid
from opsbook.core.ops_database import act, read
from opsbook.core.postgres.connect import Connection, connect
from opsbook.debugging.logs import store
from opsbook.debugging.logs.filter import LogFilter, read_fields
from opsbook.debugging.logs.following import Follower
from opsbook.debugging.logs.terminal import as_json as line_as_json
from opsbook.debugging.logs.terminal import as_text

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Follow and search logs; change their level.")

LevelOption = Annotated[str | None, typer.Option(help="The least severe level that is wanted.")]
LoggerOption = Annotated[str | None, typer.Option(help="Only this logger, and those below it.")]
UserOption = Annotated[str | None, typer.Option(help="Only of this user's requests.")]
RequestOption = Annotated[str | None, typer.Option(help="Only of this request.")]
TraceOption = Annotated[str | None, typer.Option(help="Only of this trace.")]
TextOption = Annotated[str | None, typer.Option(help="Only lines with these words, or words that begin so.")]
FieldOption = Annotated[list[str] | None, typer.Option("--field", help="Only with this field, as status=500.")]


@app.command()
def follow(
    level: LevelOption = None,
    logger: LoggerOption = None,
    user: UserOption = None,
    request: RequestOption = None,
    trace: TraceOption = None,
    text: TextOption = None,
    field: FieldOption = None,
    since: Annotated[str, typer.Option(help="Begin with the lines of the last 90s, 15m, 2h …")] = "0s",
    period: Annotated[str | None, typer.Option("--for", help="End after 90s, 15m, 2h …")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the lines of all processes as they are logged, until interrupted.

    Example: opsbook logs follow --level warning --since 15m
    """
    wanted = LogFilter(level, logger, request, trace, user, text, read_fields(field or []))
    wanted.parameters()
    lasting = parse_duration(period).total_seconds() if period else None
    try:
        run(_follow(wanted, parse_duration(since), lasting, as_json=as_json))
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` has. What the interpreter would still write goes nowhere.
        sys.stdout = None


@app.command()
def search(
    level: LevelOption = None,
    logger: LoggerOption = None,
    user: UserOption = None,
    request: RequestOption = None,
    trace: TraceOption = None,
    text: TextOption = None,
    field: FieldOption = None,
    since: Annotated[str, typer.Option(help="How far back: 90s, 15m, 2h, 7d …")] = "1h",
    limit: Annotated[int, typer.Option(min=1, max=store.MOST_LINES)] = 100,
    as_json: JsonOption = False,
) -> None:
    """Print the newest lines that match, in the order in which they were logged.

    Example: opsbook logs search --text "could not connect" --since 2h
    """
    wanted = LogFilter(level, logger, request, trace, user, text, read_fields(field or []))
    period = parse_duration(since)

    async def find(connection: Connection) -> Sequence[Mapping[str, Any]]:
        await store.note_reading(connection, wanted)
        return await store.search(connection, wanted, since=datetime.now(UTC) - period, limit=limit)

    _print(list(reversed(act(None, find))), as_json=as_json)


@app.command()
def level(
    level: Annotated[str | None, typer.Argument(help="DEBUG, INFO, WARNING, ERROR or CRITICAL.")] = None,
    period: Annotated[str, typer.Option("--for", help="After which every process goes back by itself.")] = "15m",
    logger: Annotated[str, typer.Option(help="This logger and those below it; `root` is all.")] = "root",
    end: Annotated[bool, typer.Option("--end", help="Go back now.")] = False,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Change what every running process logs, for a while; with nothing given, show what is in force.

    Example: opsbook logs level DEBUG --for 15m --reason "checkout is slow" --yes
    """
    if level is None and not end:
        _print_levels(read(store.levels), as_json=as_json)
        return
    if level is not None and end:
        raise Invalid("give a level, or --end")
    what = f"end the level of {logger!r}" if end else f"have {_whose(logger)} log from {level} up for {period}"
    lasting = parse_duration(period)
    if dry_run:
        out.print(f"would {what}", markup=False)
        return
    confirm(what[0].upper() + what[1:], yes=yes)
    if level is None:
        act(reason, lambda connection: store.end_level(connection, logger))
        out.print(f"ended: {_whose(logger)} logs as it did before", markup=False)
        return
    row = act(reason, lambda connection: store.set_level(connection, level, lasting, logger, reason))
    _print_levels([row], as_json=as_json)


async def _follow(wanted: LogFilter, back: timedelta, lasting: float | None, *, as_json: bool) -> None:
    link = _Link(settings().require_url("ops"))
    async with link.connection() as connection:
        begin = await store.clock(connection) - back
        async with acting(connection, host_identity()) as acted:
            await store.note_reading(acted, wanted)
    ends_at = None if lasting is None else time.monotonic() + lasting
    async for lines in Follower(wanted, begin).lines(link.connection, link.is_away):
        _print(lines, as_json=as_json)
        if ends_at is not None and time.monotonic() >= ends_at:
            return


class _Link:
    """A follower's connection: the same one for as long as it holds, and then a new one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._held: Any = None
        self._connection: Connection | None = None
        self._told = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        connection = self._connection
        if connection is None:
            self._held = connect(self._url, "opsbook logs follow")
            connection = self._connection = await self._held.__aenter__()
        try:
            yield connection
        except psycopg.OperationalError:
            self._connection = None
            raise
        if self._told:
            err.print("The ops database answers again.")
            self._told = False

    def is_away(self) -> None:
        if not self._told:
            err.print("The ops database does not answer; what is logged meanwhile follows once it does.")
            self._told = True


def _print(lines: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    for line in lines:
        if as_json:
            sys.stdout.write(line_as_json(line) + "\n")
        else:
            out.print(as_text(line), soft_wrap=True)
    if lines:
        sys.stdout.flush()


def _print_levels(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    print_table(
        ("logger", "level", "until", "set by", "reason"),
        [(row["logger"], row["level"], row["until"], row["set_by"], row["reason"]) for row in rows],
        "Nothing is set: every process logs from its LOG_LEVEL up. To see more: opsbook logs level DEBUG --for 15m",
    )


def _whose(logger: str) -> str:
    return "every logger" if logger == "root" else f"the logger {logger!r}"
