"""What the flag commands share: the name's argument, a change with its preview, a flag in print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer
from pydantic import ValidationError

from opsbook.core.console import go_ahead, out, print_json
from opsbook.core.errors import Invalid
from opsbook.core.ops_database import read
from opsbook.flags import store
from opsbook.flags.approval.shell import act_or_ask
from opsbook.flags.difference import Difference, flag_differences
from opsbook.flags.fields import FlagFields
from opsbook.flags.model import Flag

Name = Annotated[str, typer.Argument(help="The flag's name.")]
RevisionOption = Annotated[int | None, typer.Option("--revision", help="Refuse if the flag is at another revision.")]
IfOption = Annotated[
    list[str] | None,
    typer.Option("--if", help='A condition, as "plan in pro,team" or "not country in DE"; all given must hold.'),
]
AnyCaseOption = Annotated[bool, typer.Option("--any-case", help="Compare without regard to upper and lower case.")]


def get_flag(name: str) -> Flag:
    """A flag as it is.

    Raises:
        NotFound: There is none of that name.
    """
    return read(lambda connection: store.get_flag(connection, name))


def change_flag(
    flag: Flag,
    fields: Mapping[str, Any],
    reason: str | None,
    revision: int | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> Flag | None:
    """Change the given fields of a flag: told, confirmed, done, printed; None where it is only told.

    Raises:
        Invalid: A value will not do.
        Conflict: The flag is no longer at the expected revision.
    """
    valid = validated(fields)
    difference = in_words(flag_differences(plain(flag), {**plain(flag), **valid})) or "nothing"
    if not go_ahead(f"change {flag.name}: {difference}", yes=yes, dry_run=dry_run):
        return None
    changed = act_or_ask(
        reason, lambda connection: store.change_flag(connection, flag.name, valid, expected_revision=revision)
    )
    print_flag(changed, as_json)
    return changed


def validated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as the API would take them, so that every hand refuses the same.

    Raises:
        Invalid: A value will not do.
    """
    try:
        return FlagFields.model_validate(fields).changes()
    except ValidationError as error:
        told = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Invalid("; ".join(told)) from error


def plain(flag: Flag) -> dict[str, Any]:
    """A flag as JSON has it, with its state in a word."""
    return {**msgspec.to_builtins(flag), "state": flag.state}


def in_words(differences: Sequence[Difference]) -> str:
    """Differences in one line."""
    return ", ".join(f"{each.field} {told(each.before)} → {told(each.after)}" for each in differences)


def told(value: str | None) -> str:
    """A value, or that there is none."""
    return "–" if value is None else value


def print_flag(flag: Flag, as_json: bool) -> None:
    """Print a flag for a machine, or the gist of it for a person."""
    if as_json:
        print_json(plain(flag))
        return
    facts = f"{flag.state}, rollout {flag.rollout_percentage:g} %, revision {flag.revision}"
    out.print(f"{flag.name}: {facts}", markup=False)
    if flag.description:
        out.print(flag.description, markup=False)


def named(things: Sequence[str], wanted: str, what: str) -> int:
    """The place, from 0, of what is called by its name or by its number, which counts from 1.

    Raises:
        Invalid: There is none of that name or number.
    """
    if wanted in things:
        return things.index(wanted)
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 5 and 1 <= int(wanted) <= len(things):
        return int(wanted) - 1
    there = ", ".join(each or f"#{place}" for place, each in enumerate(things, start=1)) or "none"
    raise Invalid(f"there is no {what} {wanted!r}; there are {there}")
