"""The command line of the feature flags; straight on the ops database, so that it works with no server up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import typer

from opsbook.core.console import (
    DryRunOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    out,
    print_json,
    print_table,
    settings,
)
from opsbook.core.errors import Invalid, NotFound
from opsbook.core.ops_database import act, read
from opsbook.flags import store
from opsbook.flags.evaluation import FLAG_NOT_FOUND, bucket, compile_flag, evaluate
from opsbook.flags.model import Flag
from opsbook.flags.watch import watch_flags

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Switch features on, off and up; kill and undo.")

Name = Annotated[str, typer.Argument(help="The flag's name.")]
RevisionOption = Annotated[int | None, typer.Option("--revision", help="Refuse if the flag is at another revision.")]
DescriptionOption = Annotated[str | None, typer.Option(help="What it is for.")]
OwnerOption = Annotated[str | None, typer.Option(help="Who answers for it.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be given several times.")]


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
        print_json([_plain(flag) for flag in flags])
        return
    print_table(
        ("flag", "state", "rollout", "owner", "tags", "revision", "changed"),
        [(f.name, f.state, f"{f.rollout_percentage:g} %", f.owner, f.tags, f.revision, f.updated_at) for f in flags],
        "No flags yet. Make one: opsbook flags create new-checkout",
    )


@app.command()
def show(name: Name, as_json: JsonOption = False) -> None:
    """Show one flag.

    Example: opsbook flags show new-checkout
    """
    _print_flag(_get(name), as_json)


@app.command()
def create(
    name: Name,
    enabled: Annotated[bool, typer.Option("--enabled/--disabled", help="On or off at once.")] = False,
    rollout: Annotated[float, typer.Option(min=0, max=100, help="Percentage of targeting keys.")] = 100.0,
    description: DescriptionOption = None,
    owner: OwnerOption = None,
    tag: TagOption = None,
    reason: ReasonOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a flag, off unless told otherwise.

    Example: opsbook flags create new-checkout --owner payments --rollout 25
    """
    fields = {"enabled": enabled, "rollout_percentage": _percentage(rollout)}
    fields |= _given(description=description, owner=owner, tags=tag)
    if dry_run:
        out.print(f"would create {name}: {fields}", markup=False)
        return
    _print_flag(act(reason, lambda connection: store.create_flag(connection, name, fields)), as_json)


@app.command("set")
def set_(
    name: Name,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="On or off.")] = None,
    description: DescriptionOption = None,
    owner: OwnerOption = None,
    tag: TagOption = None,
    archived: Annotated[bool | None, typer.Option("--archive/--unarchive", help="Retire it, or bring it back.")] = None,
    revision: RevisionOption = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Change what is given of a flag.

    Example: opsbook flags set new-checkout --enabled --reason "launch"
    """
    fields = _given(enabled=enabled, description=description, owner=owner, tags=tag)
    if archived is not None:
        fields["archived_at"] = "now" if archived else None
    if not fields:
        raise Invalid("nothing to change was given; see `opsbook flags set --help`")
    _change(name, fields, reason, revision, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def kill(
    name: Name,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Throw the kill switch: off for everybody, at once.

    Example: opsbook flags kill new-checkout --yes --reason "payments fail"
    """
    _change(name, {"kill_switch": True}, reason, None, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def revive(
    name: Name,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take the kill switch back; the flag is as it was before.

    Example: opsbook flags revive new-checkout --yes
    """
    _change(name, {"kill_switch": False}, reason, None, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def rollout(
    name: Name,
    percentage: Annotated[float, typer.Argument(min=0, max=100, help="Of targeting keys, in steps of 0.01.")],
    revision: RevisionOption = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Set how many of a hundred are in; raising it never takes anyone out.

    Example: opsbook flags rollout new-checkout 25 --yes
    """
    fields = {"rollout_percentage": _percentage(percentage)}
    _change(name, fields, reason, revision, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def delete(
    name: Name,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Delete a flag; its history stays, and undo brings it back.

    Example: opsbook flags delete new-checkout --yes
    """
    flag = _get(name)
    if dry_run:
        out.print(f"would delete {flag.name} (revision {flag.revision}, {flag.state})", markup=False)
        return
    confirm(f"Delete {flag.name} ({flag.state})", yes=yes)
    act(reason, lambda connection: store.delete_flag(connection, name))
    out.print(f"deleted {flag.name}; `opsbook flags undo {flag.name}` brings it back", markup=False)


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
        [(r["revision"], r["changed_at"], r["actor"], _difference(r["before"], r["after"]), r["reason"]) for r in rows],
        "",
    )


@app.command()
def undo(
    name: Name,
    to: Annotated[int | None, typer.Option("--to", help="A revision; left out, before the last change.")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a flag back to what it was.

    Example: opsbook flags undo new-checkout --yes
    """
    where = f"its state at revision {to}" if to else "its state before the last change"
    if dry_run:
        out.print(f"would bring {name} back to {where}", markup=False)
        return
    confirm(f"Bring {name} back to {where}", yes=yes)
    flag = act(reason, lambda connection: store.undo(connection, name, to_revision=to))
    if flag is None:
        out.print(f"{name} is gone: before that change there was none", markup=False)
    else:
        _print_flag(flag, as_json)


@app.command("evaluate")
def evaluate_flag(
    name: Name,
    user: Annotated[str | None, typer.Argument(help="The targeting key, such as a user's id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a flag is on for somebody, and why; exit 1 where it is off.

    Example: opsbook flags evaluate new-checkout u1
    """
    try:
        compiled = compile_flag(_get(name))
    except NotFound:
        print_json({"value": False, "reason": "ERROR", "error_code": FLAG_NOT_FOUND})
        raise
    result = evaluate(compiled, user)
    if as_json:
        print_json(
            {
                "value": result.value,
                "variant": result.variant,
                "reason": result.reason,
                "error_code": result.error_code,
                "bucket": bucket(name, user) / 100 if user else None,
                "metadata": dict(result.metadata),
            }
        )
    else:
        place = f", bucket {bucket(name, user) / 100:.2f} of 100" if user else ""
        answer = "on" if result.value else "off"
        out.print(f"{name} is {answer} ({result.error_code or result.reason}{place})", markup=False)
    if not result.value:
        raise typer.Exit(1)


@app.command()
def watch(as_json: JsonOption = False) -> None:
    """Print each change as it is committed, until interrupted.

    Example: opsbook flags watch
    """
    watch_flags(settings().require_url("ops"), as_json=as_json)


def _get(name: str) -> Flag:
    return read(lambda connection: store.get_flag(connection, name))


def _change(
    name: str,
    fields: Mapping[str, Any],
    reason: str | None,
    revision: int | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    flag = _get(name)
    difference = _difference(_plain(flag), {**_plain(flag), **fields})
    if dry_run:
        out.print(f"would change {flag.name}: {difference or 'nothing'}", markup=False)
        return
    confirm(f"Change {flag.name}: {difference or 'nothing'}", yes=yes)
    changed = act(reason, lambda connection: store.change_flag(connection, name, fields, expected_revision=revision))
    _print_flag(changed, as_json)


def _percentage(value: float) -> float:
    if value != round(value, 2):
        raise Invalid("a rollout percentage has at most two decimals")
    return value


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _plain(flag: Flag) -> dict[str, Any]:
    return {**msgspec.to_builtins(flag), "state": flag.state}


def _difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None or after is None:
        return "created" if before is None else "deleted"
    fields = [name for name in after if name not in ("revision", "updated_at") and before.get(name) != after[name]]
    return ", ".join(f"{name} {before.get(name)} → {after[name]}" for name in fields)


def _print_flag(flag: Flag, as_json: bool) -> None:
    if as_json:
        print_json(_plain(flag))
        return
    facts = f"{flag.state}, rollout {flag.rollout_percentage:g} %, revision {flag.revision}"
    out.print(f"{flag.name}: {facts}", markup=False)
    if flag.description:
        out.print(flag.description, markup=False)
