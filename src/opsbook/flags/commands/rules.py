"""Rules of a flag by command: whom it is on for besides those inside the rollout."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from opsbook.core.console import DryRunOption, JsonOption, ReasonOption, YesOption, print_json, print_table
from opsbook.core.errors import Invalid
from opsbook.flags.commands.shared import AnyCaseOption, IfOption, Name, change_flag, get_flag, named
from opsbook.flags.conditions import read_condition, require_whom
from opsbook.flags.wording import rule_in_words, rule_title

app = typer.Typer(no_args_is_help=True, help="Whom a flag is on for besides those inside its rollout.")


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
    title: Annotated[str | None, typer.Option("--name", help="What the rule is called.")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a rule, after the others.

    Example: opsbook flags rule add new-checkout --if "plan in pro,team" --if "not country in DE" --percentage 50
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
    if title:
        rule["name"] = title
    require_whom(rule)
    rules = [*msgspec.to_builtins(flag.rules), rule]
    change_flag(flag, {"rules": rules}, reason, flag.revision, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command("remove")
def remove_rule(
    name: Name,
    rule: Annotated[str, typer.Argument(help="The rule's name, or its place as `rule list` shows it.")],
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
