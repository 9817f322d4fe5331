"""Rules of a flag by command: whom it is on for besides those inside the rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from opsbook.core.console import DryRunOption, JsonOption, ReasonOption, YesOption, print_json, print_table
from opsbook.core.errors import Invalid
from opsbook.flags.commands.shared import AnyCaseOption, IfOption, Name, change_flag, get_flag, named
from opsbook.flags.conditions import read_condition, read_weighted, require_whom
from opsbook.flags.model import Flag
from opsbook.flags.wording import rule_in_words, rule_title

app = typer.Typer(no_args_is_help=True, help="Whom a flag is on for besides those inside its rollout.")

RuleArgument = Annotated[str, typer.Argument(help="The rule's name, or its place as `rule list` shows it.")]


@app.command("list")
def list_rules(name: Name, as_json: JsonOption = False) -> None:
    """List a flag's rules; any one of them suffices.

    Example: opsbook flags rule list new-checkout
    """
    rules = get_flag(name).rules
    if as_json:
        print_json(msgspec.to_builtins(rules))
        return
    rows = [(place, rule_title(rule, place), rule_in_words(rule)) for place, rule in enumerate(rules, start=1)]
    print_table(("place", "rule", "whom"), rows, "No rules: the rollout percentage alone decides.")


@app.command("add")
def add_rule(
    name: Name,
    condition: IfOption = None,
    any_case: AnyCaseOption = False,
    segment: Annotated[list[str] | None, typer.Option("--segment", help="Those in this segment; all given.")] = None,
    percentage: Annotated[float, typer.Option(min=0, max=100, help="Of those, in steps of 0.01.")] = 100.0,
    stickiness: Annotated[
        str, typer.Option(help="The field that decides who is in; `default` is the targeting key, else the session.")
    ] = "default",
    group: Annotated[
        str | None, typer.Option(help="Hashed with that field instead of the flag's name: rules of one group agree.")
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option("--variant", help="NAME:WEIGHT or NAME:WEIGHT=VALUE, instead of the flag's own; may be repeated."),
    ] = None,
    title: Annotated[str | None, typer.Option("--name", help="What the rule is called.")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a rule, after the others.

    Example: opsbook flags rule add new-checkout --if "plan in pro" --percentage 50 --variant blue:3 --variant green
    """
    flag = get_flag(name)
    if title and title in [rule.name for rule in flag.rules]:
        raise Invalid(f"{name} has a rule {title!r} already")
    rule: dict[str, Any] = {
        "constraints": [read_condition(text, case_insensitive=any_case) for text in condition or ()],
        "segments": segment or [],
        "percentage": percentage,
        "stickiness": stickiness,
    }
    optional = {"name": title, "group": group, "variants": _variants(variant or (), flag)}
    rule |= {field: value for field, value in optional.items() if value}
    require_whom(rule)
    rules = [*msgspec.to_builtins(flag.rules), rule]
    change_flag(flag, {"rules": rules}, reason, flag.revision, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command("move")
def move_rule(
    name: Name,
    rule: RuleArgument,
    place: Annotated[int, typer.Argument(help="Where to, counted from 1.", min=1)],
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move a rule; where several admit somebody, the first says as which variant.

    Example: opsbook flags rule move new-checkout paying 1 --yes
    """
    flag = get_flag(name)
    if place > len(flag.rules):
        raise Invalid(f"{name} has {len(flag.rules)} rules, so none can be at place {place}")
    rules = msgspec.to_builtins(flag.rules)
    rules.insert(place - 1, rules.pop(named([each.name for each in flag.rules], rule, "rule")))
    change_flag(flag, {"rules": rules}, reason, flag.revision, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command("remove")
def remove_rule(
    name: Name,
    rule: RuleArgument,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a rule.

    Example: opsbook flags rule remove new-checkout 1 --yes
    """
    flag = get_flag(name)
    rules = msgspec.to_builtins(flag.rules)
    del rules[named([each.name for each in flag.rules], rule, "rule")]
    change_flag(flag, {"rules": rules}, reason, flag.revision, yes=yes, dry_run=dry_run, as_json=as_json)


def _variants(texts: Sequence[str], flag: Flag) -> Sequence[Any]:
    return [read_weighted(text, flag.value_type) for text in texts]
