"""`opsbook flags stale`: what can go, and where the code still names it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from opsbook.core.console import JsonOption, out, print_json, print_table
from opsbook.core.ops_database import read
from opsbook.flags.staleness.code import places
from opsbook.flags.staleness.report import stale_flags

app = typer.Typer()

_PLACES_SHOWN = 10


@app.command()
def stale(
    code: Annotated[Path | None, typer.Option(help="A folder of code, to find the lines that name them.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="For how long nothing has happened.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """List flags that have had their day; exit 1 where there is one.

    Example: opsbook flags stale --code src
    """
    found = read(lambda connection: stale_flags(connection, days))
    named = places(code, [flag.name for flag in found]) if code else {}
    if as_json:
        print_json([asdict(flag) | ({"places": named[flag.name]} if code else {}) for flag in found])
    else:
        print_table(
            ("flag", "why", "last asked for", "last changed", "owner"),
            [(f.name, "; ".join(f.reasons), f.last_evaluated, f.last_changed, f.owner) for f in found],
            "No flag is stale.",
        )
        for name, lines in named.items():
            more = f" and {len(lines) - _PLACES_SHOWN} more" if len(lines) > _PLACES_SHOWN else ""
            out.print(f"{name}: {', '.join(lines[:_PLACES_SHOWN]) or 'not named in the code'}{more}", markup=False)
    if found:
        raise typer.Exit(1)
