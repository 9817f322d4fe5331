"""Variants of a flag by command: the values that it may have, dealt by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from opsbook.core.console import DryRunOption, JsonOption, ReasonOption, YesOption, print_json, print_table
from opsbook.core.errors import Invalid
from opsbook.flags.commands.shared import Name, change_flag, get_flag, named
from opsbook.flags.conditions import read_override, read_value
from opsbook.flags.wording import variant_in_words

app = typer.Typer(no_args_is_help=True, help="The values that a flag may have, dealt by weight.")

VariantName = Annotated[str, typer.Argument(metavar="VARIANT", help="The variant's name.")]


@app.command("list")
def list_variants(name: Name, as_json: JsonOption = False) -> None:
    """List a flag's variants.

    Example: opsbook flags variant list button-colour
    """
    variants = get_flag(name).variants
    if as_json:
        print_json(msgspec.to_builtins(variants))
        return
    total = sum(variant.weight for variant in variants)
    rows = [(each.name, f"{100 * each.weight / total:.4g} %", variant_in_words(each)) for each in variants]
    print_table(("variant", "share", "what"), rows, "No variants: the flag is on or off.")


@app.command("add")
def add_variant(
    name: Name,
    variant: VariantName,
    weight: Annotated[int, typer.Option(min=0, max=1_000_000, help="Its share is its weight of the sum.")] = 1,
    value: Annotated[str | None, typer.Option(help="Of the flag's type; an object is given as JSON.")] = None,
    always: Annotated[
        list[str] | None, typer.Option("--always", help='Who gets it whatever the weights, as "plan in pro,team".')
    ] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a variant, or change the one of that name.

    Example: opsbook flags variant add button-colour blue --weight 3 --value '#0000ff'
    """
    flag = get_flag(name)
    added: dict[str, Any] = {"name": variant, "weight": weight}
    if value is not None:
        added["value"] = read_value(value, flag.value_type)
    elif flag.value_type != "boolean":
        raise Invalid(f"{name} is a {flag.value_type}: give the variant a --value")
    if always:
        added["overrides"] = [read_override(text) for text in always]
    variants = _put(msgspec.to_builtins(flag.variants), added)
    change_flag(flag, {"variants": variants}, reason, flag.revision, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command("remove")
def remove_variant(
    name: Name,
    variant: VariantName,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a variant.

    Example: opsbook flags variant remove button-colour blue --yes
    """
    flag = get_flag(name)
    variants = msgspec.to_builtins(flag.variants)
    del variants[named([each.name for each in flag.variants], variant, "variant")]
    change_flag(flag, {"variants": variants}, reason, flag.revision, yes=yes, dry_run=dry_run, as_json=as_json)


def _put(variants: Sequence[Any], added: Any) -> Sequence[Any]:
    if any(each["name"] == added["name"] for each in variants):
        return [added if each["name"] == added["name"] else each for each in variants]
    return [*variants, added]
