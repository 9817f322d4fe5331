"""Prerequisites of a flag by command: what other flags must be for it to be on."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from opsbook.core.console import DryRunOption, JsonOption, ReasonOption, YesOption, print_json, print_table
from opsbook.flags.commands.shared import Name, change_flag, get_flag, named
from opsbook.flags.wording import prerequisite_in_words

app = typer.Typer(no_args_is_help=True, help="What other flags must be for a flag to be on.")

Other = Annotated[str, typer.Argument(metavar="FLAG", help="The other flag's name.")]


@app.command("list")
def list_prerequisites(name: Name, as_json: JsonOption = False) -> None:
    """List what a flag needs of others.

    Example: opsbook flags prerequisite list new-checkout
    """
    prerequisites = get_flag(name).prerequisites
    if as_json:
        print_json(msgspec.to_builtins(prerequisites))
        return
    rows = [(each.flag, prerequisite_in_words(each)) for each in prerequisites]
    print_table(("flag", "must be"), rows, "No prerequisites: the flag depends on no other.")


@app.command("add")
def add_prerequisite(
    name: Name,
    flag: Other,
    off: Annotated[bool, typer.Option("--off", help="It must be off, rather than on.")] = False,
    variant: Annotated[list[str] | None, typer.Option("--variant", help="It must be one of these variants.")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Need another flag to be on, off or a variant, for the same context.

    Example: opsbook flags prerequisite add new-checkout payments-v2
    """
    changed = get_flag(name)
    added: dict[str, Any] = {"flag": flag}
    if off:
        added["enabled"] = False
    if variant:
        added["variants"] = variant
    others = [each for each in msgspec.to_builtins(changed.prerequisites) if each["flag"] != flag]
    fields = {"prerequisites": [*others, added]}
    change_flag(changed, fields, reason, changed.revision, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command("remove")
def remove_prerequisite(
    name: Name,
    flag: Other,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Need a flag no longer.

    Example: opsbook flags prerequisite remove new-checkout payments-v2 --yes
    """
    changed = get_flag(name)
    rest = msgspec.to_builtins(changed.prerequisites)
    del rest[named([each.flag for each in changed.prerequisites], flag, "prerequisite")]
    fields = {"prerequisites": rest}
    change_flag(changed, fields, reason, changed.revision, yes=yes, dry_run=dry_run, as_json=as_json)
