"""`opsbook flags import` and `export`: flags from and to the files of other systems."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
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
    print_json,
)
from opsbook.core.errors import Invalid
from opsbook.core.ops_database import act, read
from opsbook.core.postgres.connect import Connection
from opsbook.flags import store
from opsbook.flags.approval import store as approval
from opsbook.flags.approval.shell import AskOption, wants_to_ask
from opsbook.flags.interchange.carrying import Carried, carry_over
from opsbook.flags.interchange.flagd import read_flagd
from opsbook.flags.interchange.flagd_writer import write_flagd
from opsbook.flags.interchange.growthbook import read_growthbook
from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.interchange.launchdarkly import read_launchdarkly
from opsbook.flags.interchange.opsbook_format import read_opsbook, write_opsbook
from opsbook.flags.interchange.unleash import read_unleash
from opsbook.flags.interchange.unleash_writer import write_unleash

app = typer.Typer(add_completion=False)

_MOST_BYTES: Final = 16 * 1024 * 1024


class Source(enum.StrEnum):
    """Whose files can be read."""

    OPSBOOK = "opsbook"
    UNLEASH = "unleash"
    FLAGD = "flagd"
    GROWTHBOOK = "growthbook"
    LAUNCHDARKLY = "launchdarkly"


class Target(enum.StrEnum):
    """Whose files can be written."""

    OPSBOOK = "opsbook"
    UNLEASH = "unleash"
    FLAGD = "flagd"


_READERS: Final[Mapping[Source, Callable[[bytes], Bundle]]] = {
    Source.OPSBOOK: read_opsbook,
    Source.UNLEASH: read_unleash,
    Source.FLAGD: read_flagd,
    Source.GROWTHBOOK: read_growthbook,
    Source.LAUNCHDARKLY: read_launchdarkly,
}


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The file, as the other system exports it.")],
    source: Annotated[Source, typer.Option("--format", help="Whose file it is.")] = Source.OPSBOOK,
    environment: Annotated[
        str | None, typer.Option(help="Of LaunchDarkly's export: which, where it holds several.")
    ] = None,
    ask: AskOption = False,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create and change flags as a file says: all of it or nothing. What cannot be carried over is listed.

    Flags that the file does not name stay as they are, and what is killed here stays killed. What somebody changes
    between the plan and the yes is not overwritten: exit 3.

    Example: opsbook flags import features.json --format unleash --dry-run
    """
    text = _contents(file)
    bundle = read_launchdarkly(text, environment) if source is Source.LAUNCHDARKLY else _READERS[source](text)
    plan = _rehearsed(bundle)
    if dry_run:
        _print(plan, as_json, "would create", "would change")
        return
    if not as_json:
        _print(plan, as_json, "creates", "changes")
    confirm(f"Import {len(plan.created)} new flags and change {len(plan.changed)}", yes=yes)
    asking = wants_to_ask([each.flag for each in plan.guarded], ask=ask, yes=yes)
    why = reason or f"imported from {file.name}"
    done, asked = act(why, lambda connection: _carry(connection, bundle, plan, why if asking else None))
    if as_json:
        print_json({**msgspec.to_builtins(done), "asked": asked})
        return
    out.print(f"imported {len(done.created)} new flags, changed {len(done.changed)}", markup=False)
    for flag, request in asked.items():
        out.print(
            f"asked for the change of {flag}: another person runs `opsbook flags approve {request}`", markup=False
        )


@app.command()
def export(
    target: Annotated[Target, typer.Option("--format", help="Whose file it becomes.")] = Target.OPSBOOK,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it there instead of printing.")] = None,
) -> None:
    """Write every flag and segment as JSON; what the other system has no words for is listed on standard error.

    Example: opsbook flags export --format unleash --output features.json
    """
    flags, segments = read(store.snapshot).parts()
    text, left_behind = _written(target, Bundle([*flags.values()], segments))
    pretty = msgspec.json.format(text, indent=2).decode() + "\n"
    if output is None:
        sys.stdout.write(pretty)
    else:
        output.write_text(pretty, encoding="utf-8")
    for each in left_behind:
        err.print(f"left behind: {each.flag}: {each.what}", markup=False)


def _contents(file: Path) -> bytes:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise Invalid(f"{file} is larger than {_MOST_BYTES:,} bytes")
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}") from error


def _rehearsed(bundle: Bundle) -> Carried:
    """What an import does, found by doing it and taking it back: the database has its say too."""
    found: list[Carried] = []

    async def rehearse(connection: Connection) -> None:
        found.append(await carry_over(connection, bundle))
        raise psycopg.Rollback

    act(None, rehearse)
    return found[0]


async def _carry(
    connection: Connection, bundle: Bundle, plan: Carried, ask_because: str | None
) -> tuple[Carried, Mapping[str, int]]:
    """Do what was planned; with a reason, ask a second person for the rest, and give the requests by flag."""
    done = await carry_over(connection, bundle, plan.found)
    guarded = done.guarded if ask_because else ()
    return done, {
        each.flag: await approval.ask(connection, each.flag, each.fields, each.revision, ask_because)
        for each in guarded
    }


def _written(target: Target, bundle: Bundle) -> tuple[bytes, Sequence[LeftBehind]]:
    match target:
        case Target.OPSBOOK:
            return write_opsbook(bundle), ()
        case Target.UNLEASH:
            state = write_unleash(bundle)
            return msgspec.json.encode(state.body), state.left_behind
        case Target.FLAGD:
            return write_flagd(bundle)


def _print(plan: Carried, as_json: bool, creates: str, changes: str) -> None:
    if as_json:
        print_json(msgspec.to_builtins(plan))
        return
    for line in _lines(plan, creates, changes):
        out.print(line, markup=False)


def _lines(plan: Carried, creates: str, changes: str) -> Iterable[str]:
    for name in plan.segments:
        yield f"{creates} or {changes} segment {name}"
    for name in plan.created:
        yield f"{creates} {name}"
    for name, fields in plan.changed.items():
        yield f"{changes} {name}: {', '.join(fields)}"
    if plan.unchanged:
        yield f"{len(plan.unchanged)} flags are as the file says already"
    for each in plan.left_behind:
        yield f"left behind: {each.flag}: {each.what}"
