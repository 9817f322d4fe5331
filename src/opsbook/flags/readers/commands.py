"""`opsbook flags readers`: which processes follow the flags, and whether they obey."""

from __future__ import annotations

from typing import Annotated

import psycopg
import typer

from opsbook.core.console import JsonOption, err, out, parse_duration, print_json, print_table
from opsbook.core.database_errors import explain
from opsbook.core.errors import OpsbookError
from opsbook.core.ops_database import read
from opsbook.flags.fields import MOST_REVISION
from opsbook.flags.readers import store
from opsbook.flags.readers.obedience import Obedience, Reader
from opsbook.web.display import duration

app = typer.Typer()

_AFTER_A_KILL_SECONDS = 1.0


@app.command("readers")
def list_readers(
    revision: Annotated[
        int | None, typer.Option(min=1, max=MOST_REVISION, help="Who serves this one or a later; left out, the newest.")
    ] = None,
    wait: Annotated[
        str, typer.Option(help="Give them so long, as 5s, to come to it; exit 1 if one still has not.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List the processes that follow the flags, with the revision that each one has confirmed.

    One that was not heard of for 30 seconds is gone, and no longer listed.

    Example: opsbook flags readers --wait 5s
    """
    seconds = parse_duration(wait).total_seconds() if wait else 0.0
    found = read(lambda connection: store.obedience_within(connection, revision, seconds))
    if as_json:
        print_json(_plain(found))
    else:
        _print(found)
    if wait and found.behind:
        raise typer.Exit(1)


def print_obedience(revision: int) -> None:
    """Say how many workers obey a change, once all do or a second is over; the change stands, whatever this finds."""
    try:
        found = read(lambda connection: store.obedience_within(connection, revision, _AFTER_A_KILL_SECONDS))
    except (OpsbookError, psycopg.Error) as error:
        why = error if isinstance(error, OpsbookError) else explain(error) or type(error).__name__
        err.print(f"it is done; who obeys could not be asked: {why}", markup=False, soft_wrap=True)
        return
    out.print(found.in_words(), markup=False)
    if found.behind:
        out.print(f"`opsbook flags readers --revision {revision} --wait 30s` shows who is behind", markup=False)


def _plain(found: Obedience) -> dict[str, object]:
    return {
        "revision": found.revision,
        "obeying": found.obeying,
        "slowest_ms": found.slowest_ms,
        "readers": list(found.readers),
    }


def _print(found: Obedience) -> None:
    print_table(
        ("host", "pid", "program", "follows by", "serves", "obeys", "took", "seen"),
        [
            (each.host, each.pid, each.name, each.kind, each.revision, each.obeys, _took(each), each.seen_at)
            for each in found.readers
        ],
        "",
    )
    out.print(f"revision {found.revision}: {found.in_words()}", markup=False)


def _took(reader: Reader) -> str | None:
    return None if reader.lag_ms is None else duration(reader.lag_ms / 1000)
