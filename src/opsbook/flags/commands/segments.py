"""Segments by command: conditions under a name, shared between flags."""

from __future__ import annotations

from collections.abc import Sequence
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
    print_json,
    print_table,
)
from opsbook.core.errors import Invalid
from opsbook.core.ops_database import act, read
from opsbook.flags import segment_store as store
from opsbook.flags.commands.shared import AnyCaseOption, IfOption
from opsbook.flags.conditions import read_condition
from opsbook.flags.model import segment_from
from opsbook.flags.wording import condition_in_words

app = typer.Typer(no_args_is_help=True, help="Conditions under a name, shared between flags.")

Name = Annotated[str, typer.Argument(help="The segment's name.")]
RevisionOption = Annotated[
    int | None, typer.Option("--revision", help="Refuse if the segment is at another revision; 0, if there is one.")
]


@app.command("list")
def list_segments(as_json: JsonOption = False) -> None:
    """List the segments.

    Example: opsbook flags segment list
    """
    segments = read(store.list_segments)
    if as_json:
        print_json(segments)
        return
    rows = [(each["name"], " and ".join(_words(each)) or "everybody", each["used_by"]) for each in segments]
    print_table(
        ("segment", "who", "used by"),
        rows,
        'No segments yet. Make one: opsbook flags segment set beta --if "beta in true"',
    )


@app.command()
def show(name: Name, as_json: JsonOption = False) -> None:
    """Show one segment.

    Example: opsbook flags segment show beta
    """
    segment = read(lambda connection: store.get_segment(connection, name))
    if as_json:
        print_json(segment)
        return
    out.print(
        f"{name}: revision {segment['revision']}, used by {', '.join(segment['used_by']) or 'no flag'}", markup=False
    )
    if segment["description"]:
        out.print(segment["description"], markup=False)
    for words in _words(segment):
        out.print(f"  {words}", markup=False)


@app.command("set")
def set_(
    name: Name,
    condition: IfOption = None,
    any_case: AnyCaseOption = False,
    description: Annotated[str | None, typer.Option(help="Who they are.")] = None,
    revision: RevisionOption = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a segment, or give one other conditions; every flag that uses it follows.

    Example: opsbook flags segment set beta --if "email ends_with @example.org" --yes
    """
    if not condition:
        raise Invalid("a segment needs at least one --if")
    constraints = [read_condition(text, case_insensitive=any_case) for text in condition]
    what = f"set segment {name} to {' and '.join(condition)}"
    if dry_run:
        out.print(f"would {what}", markup=False)
        return
    confirm(what.capitalize(), yes=yes)
    segment = act(
        reason,
        lambda connection: store.put_segment(connection, name, constraints, description, expected_revision=revision),
    )
    if as_json:
        print_json(segment)
    else:
        out.print(f"{name}: revision {segment['revision']}", markup=False)


@app.command()
def delete(
    name: Name,
    revision: RevisionOption = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Delete a segment that no flag uses.

    Example: opsbook flags segment delete beta --yes
    """
    segment = read(lambda connection: store.get_segment(connection, name))
    users = f", used by {', '.join(segment['used_by'])}" if segment["used_by"] else ""
    if dry_run:
        out.print(f"would delete segment {name}{users}", markup=False)
        return
    confirm(f"Delete segment {name}{users}", yes=yes)
    act(reason, lambda connection: store.delete_segment(connection, name, expected_revision=revision))
    out.print(f"deleted segment {name}", markup=False)


def _words(segment: DictRow) -> Sequence[str]:
    return [condition_in_words(constraint) for constraint in segment_from(segment).constraints]
