"""`opsbook user`: what one person did, from every place that knows of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from pydantic import TypeAdapter, ValidationError

from opsbook.core.access.identity import host_identity
from opsbook.core.console import JsonOption, err, parse_duration, print_json, print_table, run, settings
from opsbook.core.errors import Invalid
from opsbook.core.http.fields import Moment
from opsbook.core.postgres.connect import connect
from opsbook.debugging.users.export import export, plain
from opsbook.debugging.users.looking import note_look
from opsbook.debugging.users.sources.interface import BEGINNING, END, Entry
from opsbook.debugging.users.timeline import MOST_ENTRIES, Timeline, Wanted
from opsbook.debugging.users.trails import trails_of

_MOMENTS: TypeAdapter[datetime] = TypeAdapter(Moment)
_MOMENT_HELP = "2031-01-31T14:05:00Z, or so long ago as 2h or 7d."
_LONGEST_DETAILS = 120


def user(
    user_id: Annotated[str, typer.Argument(help="The person's id, as the service and its errors name it.")],
    kind: Annotated[
        list[str] | None, typer.Option(help="events, sessions, errors, logs, flags or audit; may be given again.")
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"From when on: {_MOMENT_HELP}")] = None,
    until: Annotated[str | None, typer.Option(help=f"Up to when: {_MOMENT_HELP}")] = None,
    limit: Annotated[int, typer.Option(help="Entries at most.", min=1, max=MOST_ENTRIES)] = 100,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all of it as CSV, however many.")] = False,
) -> None:
    """Show what one person did, the newest first. That it was looked at stands in the audit.

    Example: opsbook user 7d3c1e52-5b0e-4a53-9d1c-0f4f6f0e2a11 --since 7d --kind errors --kind events
    """
    if as_json and as_csv:
        raise Invalid("take --json or --csv")
    wanted = Wanted(user_id, tuple(kind or ()), _moment(since) or BEGINNING, _moment(until) or END, limit=limit)
    if as_csv:
        run(_print_csv(wanted))
        return
    timeline, notes = run(_read(wanted))
    if as_json:
        print_json({**_for_machines(timeline), "notes": notes})
        return
    print_table(
        ("when", "kind", "what", "details"),
        [(entry.at, entry.kind, entry.title, _details(entry)) for entry in timeline.entries],
        "Nothing is known of anybody with this id.",
    )
    if timeline.older:
        err.print(f"older ones follow: --until {timeline.older.at.isoformat()}, or --limit", markup=False)
    for name, reason in timeline.missing.items():
        err.print(f"{name} could not be looked at: {reason}", markup=False, soft_wrap=True)


async def _read(wanted: Wanted) -> tuple[Timeline, Sequence[str]]:
    async with trails_of(settings()) as trails:
        wanted = wanted.checked(trails.kinds)
        await _note(wanted)
        return await trails.read(wanted), trails.notes


async def _print_csv(wanted: Wanted) -> None:
    async with trails_of(settings()) as trails:
        wanted = wanted.checked(trails.kinds)
        await _note(wanted, taken_as="csv")
        async for part in export(trails, wanted, "csv"):
            sys.stdout.write(part.decode())


async def _note(wanted: Wanted, taken_as: str | None = None) -> None:
    async with connect(settings().require_url("ops"), "opsbook cli") as connection:
        await note_look(connection, host_identity(), wanted, taken_as=taken_as)


def _for_machines(timeline: Timeline) -> dict[str, object]:
    return {
        "entries": [plain(entry) for entry in timeline.entries],
        "older": str(timeline.older) if timeline.older else None,
        "missing": timeline.missing,
    }


def _details(entry: Entry) -> str:
    text = orjson.dumps(plain(entry)["details"]).decode()
    return text if len(text) <= _LONGEST_DETAILS else f"{text[:_LONGEST_DETAILS]}…"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    if text[:-1].isdigit():
        return datetime.now(UTC) - parse_duration(text)
    try:
        return _MOMENTS.validate_python(text)
    except ValidationError as error:
        raise Invalid(f"{text!r} is no time; write {_MOMENT_HELP}") from error
