"""Reading flags by command: list, show, history, diff, evaluate, watch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
import typer

from opsbook.core.console import JsonOption, out, print_json, print_table, settings
from opsbook.core.errors import Invalid, NotFound
from opsbook.core.ops_database import read
from opsbook.core.postgres.connect import Connection
from opsbook.flags import store
from opsbook.flags.commands.shared import Name, get_flag, in_words, plain, print_flag, told
from opsbook.flags.conditions import read_context
from opsbook.flags.difference import flag_differences
from opsbook.flags.explanation import explain
from opsbook.flags.exposures.store import exposures
from opsbook.flags.model import Flag
from opsbook.flags.promotion.commands import show_between
from opsbook.flags.watch import watch_flags
from opsbook.flags.wording import prerequisite_in_words, rule_in_words, rule_title, variant_in_words

app = typer.Typer()


@app.command("list")
def list_flags(
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the flags.

    Example: opsbook flags list
    """
    flags = read(lambda connection: store.list_flags(connection, archived=archived))
    if as_json:
        print_json([plain(flag) for flag in flags])
        return
    print_table(
        ("flag", "state", "rollout", "owner", "tags", "revision", "changed"),
        [(f.name, f.state, f"{f.rollout_percentage:g} %", f.owner, f.tags, f.revision, f.updated_at) for f in flags],
        "No flags yet. Make one: opsbook flags create new-checkout",
    )


@app.command()
def show(name: Name, as_json: JsonOption = False) -> None:
    """Show one flag, and who saw what within the last day.

    Example: opsbook flags show new-checkout
    """
    flag = get_flag(name)
    seen = read(lambda connection: exposures(connection, name))
    if as_json:
        print_json({**plain(flag), "exposures": seen})
        return
    print_flag(flag, as_json)
    for part in _parts(flag):
        out.print(part, markup=False)
    shares = ", ".join(f"{each.variant} {each.share * 100:.3g} % ({each.count:,})" for each in seen)
    out.print(f"asked for within a day: {shares or 'by nobody'}", markup=False)


@app.command()
def history(name: Name, limit: Annotated[int, typer.Option(min=1, max=500)] = 20, as_json: JsonOption = False) -> None:
    """Show what a flag has been, newest first.

    Example: opsbook flags history new-checkout
    """
    rows = read(lambda connection: store.history(connection, name, limit=limit))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("revision", "when", "who", "change", "reason"),
        [(r["revision"], r["changed_at"], r["actor"], _change_of(r), r["reason"]) for r in rows],
        "",
    )


@app.command()
def diff(
    name: Annotated[str | None, typer.Argument(help="The flag's name; with --between all, where left out.")] = None,
    from_: Annotated[int | None, typer.Option("--from", help="A revision; left out, the one before the other.")] = None,
    to: Annotated[int | None, typer.Option("--to", help="A revision; left out, the newest.")] = None,
    between: Annotated[
        str | None,
        typer.Option(
            help="Another ops database: its URL, or the environment variable that holds it; exit 1 if it differs."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two revisions of a flag, or between two environments.

    Example: opsbook flags diff new-checkout --from 12
    """
    if between is not None:
        show_between(between, name, as_json=as_json)
        return
    if name is None:
        raise Invalid("which flag? Give its name, or --between another environment")

    async def states(connection: Connection) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        last = await store.change_at(connection, name, to)
        before = last["before"] if from_ is None else (await store.change_at(connection, name, from_))["after"]
        return before, last["after"]

    found = flag_differences(*read(states))
    if as_json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("what", "before", "after"), [(d.field, told(d.before), told(d.after)) for d in found], "No difference."
    )


@app.command("evaluate")
def evaluate_flag(
    name: Name,
    user: Annotated[str | None, typer.Argument(help="The targeting key, such as a user's id.")] = None,
    field: Annotated[
        list[str] | None, typer.Option("--field", help="A field of the context, as plan=pro; several may be given.")
    ] = None,
    explained: Annotated[bool, typer.Option("--explain", help="Each step and what it found.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a flag is for somebody, and why; exit 1 where it is off.

    Example: opsbook flags evaluate new-checkout u1 --field plan=pro --explain
    """
    snapshot = read(store.snapshot)
    if name not in snapshot.flags:
        raise NotFound(f"there is no flag {name!r}; `opsbook flags list` shows them")
    found = explain(snapshot.flags[name], read_context(user, field or []), snapshot.flags)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        result = found.result
        value = "" if isinstance(result.value, bool) else f" as {result.variant} = {result.value}"
        reason = result.error_code or result.reason
        out.print(f"{name} is {'on' if result.enabled else 'off'}{value} ({reason})", markup=False)
        for step in found.steps if explained else ():
            out.print(f"  {'yes' if step.held else 'no ':3}  {step.question}  {step.detail}".rstrip(), markup=False)
    if not found.result.enabled:
        raise typer.Exit(1)


@app.command()
def watch(as_json: JsonOption = False) -> None:
    """Print each change as it is committed, until interrupted.

    Example: opsbook flags watch
    """
    watch_flags(settings().require_url("ops"), as_json=as_json)


def _change_of(revision: Mapping[str, Any]) -> str:
    if revision["action"] == "change":
        return in_words(flag_differences(revision["before"], revision["after"]))
    return f"{revision['action']}d"


def _parts(flag: Flag) -> Iterator[str]:
    for place, rule in enumerate(flag.rules, start=1):
        yield f"{rule_title(rule, place)}: {rule_in_words(rule)}"
    for variant in flag.variants:
        yield f"variant {variant.name}: {variant_in_words(variant)}"
    for each in flag.prerequisites:
        yield f"prerequisite {each.flag}: {prerequisite_in_words(each)}"
    if flag.expires_at:
        yield f"{'goes off' if flag.off_when_expired else 'is to be gone by'} {flag.expires_at.isoformat()}"
