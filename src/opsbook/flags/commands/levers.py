"""Levers of a flag by command: create, set, kill, revive, roll out, delete, undo."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from opsbook.core.console import DryRunOption, JsonOption, ReasonOption, YesOption, go_ahead, out
from opsbook.core.errors import Invalid
from opsbook.core.ops_database import act
from opsbook.flags import store
from opsbook.flags.approval.shell import act_or_ask
from opsbook.flags.commands.shared import Name, RevisionOption, change_flag, get_flag, print_flag, validated
from opsbook.flags.readers.commands import print_obedience
from opsbook.flags.targeting.model import ValueType

app = typer.Typer()

DescriptionOption = Annotated[str | None, typer.Option(help="What it is for.")]
OwnerOption = Annotated[str | None, typer.Option(help="Who answers for it.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be given several times.")]
TypeOption = Annotated[ValueType | None, typer.Option("--type", help="What the variants' values are.")]


@app.command()
def create(
    name: Name,
    enabled: Annotated[bool, typer.Option("--enabled/--disabled", help="On or off at once.")] = False,
    rollout: Annotated[float, typer.Option(min=0, max=100, help="Percentage of targeting keys.")] = 100.0,
    description: DescriptionOption = None,
    owner: OwnerOption = None,
    tag: TagOption = None,
    type_: TypeOption = None,
    reason: ReasonOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a flag, off unless told otherwise.

    Example: opsbook flags create new-checkout --owner payments --rollout 25
    """
    fields = {"enabled": enabled, "rollout_percentage": rollout}
    fields = validated(fields | _given(description=description, owner=owner, tags=tag, value_type=type_))
    if go_ahead(f"create {name}: {fields}", yes=True, dry_run=dry_run):
        print_flag(act(reason, lambda connection: store.create_flag(connection, name, fields)), as_json)


@app.command("set")
def set_(
    name: Name,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="On or off.")] = None,
    description: DescriptionOption = None,
    owner: OwnerOption = None,
    tag: TagOption = None,
    type_: TypeOption = None,
    expires: Annotated[str | None, typer.Option(help="When, as 2031-01-31T12:00:00Z; `never` takes it away.")] = None,
    off_when_expired: Annotated[
        bool | None, typer.Option("--off-when-expired/--only-remind", help="What its expiry does.")
    ] = None,
    archived: Annotated[bool | None, typer.Option("--archive/--unarchive", help="Retire it, or bring it back.")] = None,
    approval: Annotated[
        bool | None, typer.Option("--approval/--no-approval", help="Have a second person approve changes, or not.")
    ] = None,
    revision: RevisionOption = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Change what is given of a flag.

    Example: opsbook flags set new-checkout --enabled --reason "launch"
    """
    fields = _given(enabled=enabled, description=description, owner=owner, tags=tag, value_type=type_)
    fields |= _given(expires_at=expires, off_when_expired=off_when_expired, requires_approval=approval)
    if expires == "never":
        fields["expires_at"] = None
    if archived is not None:
        fields["archived_at"] = datetime.now(UTC).isoformat() if archived else None
    if not fields:
        raise Invalid("nothing to change was given; see `opsbook flags set --help`")
    change_flag(get_flag(name), fields, reason, revision, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command()
def kill(
    name: Name,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Throw the kill switch: off for everybody, at once; then say how many workers obey.

    Example: opsbook flags kill new-checkout --yes --reason "payments fail"
    """
    fields = {"kill_switch": True}
    killed = change_flag(get_flag(name), fields, reason, None, yes=yes, dry_run=dry_run, as_json=as_json)
    if killed and not as_json:
        print_obedience(killed.revision)


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
    change_flag(get_flag(name), {"kill_switch": False}, reason, None, yes=yes, dry_run=dry_run, as_json=as_json)


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
    fields = {"rollout_percentage": percentage}
    change_flag(get_flag(name), fields, reason, revision, yes=yes, dry_run=dry_run, as_json=as_json)


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
    flag = get_flag(name)
    if go_ahead(f"delete {flag.name} (revision {flag.revision}, {flag.state})", yes=yes, dry_run=dry_run):
        act(reason, lambda connection: store.delete_flag(connection, name))
        out.print(f"deleted {flag.name}; `opsbook flags undo {flag.name}` brings it back", markup=False)


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
    if not go_ahead(f"bring {name} back to {where}", yes=yes, dry_run=dry_run):
        return
    flag = act_or_ask(reason, lambda connection: store.undo(connection, name, to_revision=to))
    if flag is None:
        out.print(f"{name} is gone: before that change there was none", markup=False)
    else:
        print_flag(flag, as_json)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
