"""What every command of the command line shares: output, confirmation, exit codes.

Exit codes: 0 done, 1 a check found something, 2 wrong usage, 3 could not reach or do it.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import orjson
import typer
from rich.console import Console
from rich.table import Table

from opsbook.core.errors import Invalid, OpsbookError
from opsbook.core.settings import Settings, load_settings

T = TypeVar("T")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; it stands in the audit.")]

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_DIRECTIONS = (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_WRITTEN_OUT = {
    **{code: f"\\x{code:02x}" for code in _CONTROLS},
    **{code: f"\\u{code:04x}" for code in _DIRECTIONS},
    ord("\n"): "\\n",
    ord("\t"): "\\t",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST_DURATION = timedelta(days=36525)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)


def settings() -> Settings:
    """The settings of this shell."""
    return load_settings()


def print_json(value: object) -> None:
    """Print a value as JSON; times are ISO 8601."""
    sys.stdout.write(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Print rows as a table, or the sentence that says what to do where there are none."""
    if not rows:
        out.print(empty, markup=False)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    out.print(table)


def cell(value: object) -> str:
    """A value as a person reads it in a table; markup in it is taken literally."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple() | set() | frozenset():
            return visible(", ".join(str(item) for item in value)).replace("[", "\\[") or "–"
        case _:
            return visible(str(value)).replace("[", "\\[")


def visible(text: str) -> str:
    """Text that does nothing to a terminal: control characters and changes of direction are written out.

    Source: CWE-150; of directions Unicode's bidirectional algorithm (UAX 9).
    """
    return text.translate(_WRITTEN_OUT)


def go_ahead(what: str, *, yes: bool, dry_run: bool) -> bool:
    """Whether to do what is told, such as `delete new-checkout`: not in a dry run, which says so.

    Raises:
        typer.Exit: As `confirm`.
    """
    if dry_run:
        out.print(f"would {what}", markup=False)
    else:
        confirm(what[0].upper() + what[1:], yes=yes)
    return not dry_run


def confirm(what: str, *, yes: bool) -> None:
    """Ask before something is changed; without a terminal, `--yes` is the only yes.

    Raises:
        typer.Exit: The answer is no (exit 1), or there is nobody to ask (exit 2).
    """
    if yes:
        return
    if not sys.stdin.isatty():
        err.print(f"{what}: nobody to ask here; add --yes", markup=False)
        raise typer.Exit(2)
    if not typer.confirm(f"{what}?"):
        raise typer.Exit(1)


def parse_duration(text: str) -> timedelta:
    """`90s`, `15m`, `2h`, `7d`, `1w` as a duration.

    Raises:
        Invalid: It is none of these, or longer than a century.
    """
    found = re.fullmatch(r"([0-9]{1,6})([a-z])", text)
    if found is None or found[2] not in _UNITS:
        raise Invalid(f"{text!r} is no duration; write for example 90s, 15m, 2h or 7d")
    duration = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if duration > _LONGEST_DURATION:
        raise Invalid(f"{text!r} is longer than a century; for good is to leave it out")
    return duration


def fail(error: OpsbookError) -> int:
    """Print an error as a person reads it; gives the exit code."""
    err.print(f"[red]{error.title}:[/red] ", end="")
    err.print(str(error), markup=False, soft_wrap=True)
    return error.exit_code


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
