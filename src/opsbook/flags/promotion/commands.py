"""`opsbook flags promote`, and `flags diff --between`: from one environment to another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from opsbook.core.access.identity import host_identity
from opsbook.core.console import (
    DryRunOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    out,
    print_json,
    print_table,
    run,
    settings,
)
from opsbook.core.errors import Conflict, Invalid
from opsbook.flags.approval.shell import AskOption, wants_to_ask
from opsbook.flags.commands.shared import in_words, told
from opsbook.flags.difference import Difference
from opsbook.flags.promotion.plan import Step, between, promotion
from opsbook.flags.promotion.store import pair
from opsbook.flags.promotion.store import promote as take_steps

app = typer.Typer()


@app.command()
def promote(
    names: Annotated[list[str], typer.Argument(help="The flags' names.")],
    to: Annotated[
        str, typer.Option(help="The other ops database: its URL, or the environment variable that holds it.")
    ],
    switches: Annotated[
        bool, typer.Option("--switches", help="Enabled, kill switch and rollout too, which are each environment's own.")
    ] = False,
    ask: AskOption = False,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take flags' definitions, with the segments they name, to another environment; a new flag is off there.

    What is killed there stays killed. What needs a second person there is left behind (exit 3), or asked for.

    Example: opsbook flags promote new-checkout --to PRODUCTION_OPSBOOK_DATABASE_URL
    """

    async def promoting() -> None:
        async with pair(settings().require_url("ops"), address(to)) as both:
            steps = promotion(both.source, both.target, names, switches=switches)
            if not as_json:
                _print_plan(steps, both.target.place)
            if dry_run:
                if as_json:
                    print_json([asdict(step) for step in steps])
                return
            guarded = [step.name for step in steps if step.needs_approval and step.kind == "flag"]
            asking = wants_to_ask(guarded, ask=ask, yes=yes)
            if asking or any(not step.needs_approval for step in steps):
                confirm(f"Promote to {both.target.place}", yes=yes)
            asked = await take_steps(both, host_identity(), steps, reason, ask=asking)
            _print_done(steps, asked, both.target.place, as_json=as_json)

    run(promoting())


def show_between(other: str, name: str | None, *, as_json: bool) -> None:
    """Print what differs from this environment to another, of one flag or all; exit 1 where anything does."""

    async def comparing() -> Mapping[str, Sequence[Difference]]:
        async with pair(settings().require_url("ops"), address(other)) as both:
            return between(both.source, both.target)

    found = {flag: each for flag, each in run(comparing()).items() if name in (None, flag)}
    if as_json:
        print_json({flag: [asdict(each) for each in differences] for flag, differences in found.items()})
    else:
        print_table(
            ("flag", "what", "here", "there"),
            [(flag, d.field, told(d.before), told(d.after)) for flag, each in found.items() for d in each],
            "No difference.",
        )
    if found:
        raise typer.Exit(1)


def address(given: str) -> str:
    """A database's URL, given as such or as the environment variable that holds it, which hides the password.

    Raises:
        Invalid: It is neither.
    """
    url = given if "://" in given else os.environ.get(given, "")
    if not url.startswith(("postgres://", "postgresql://")):
        raise Invalid(f"{given if '://' not in given else 'this'} is no postgresql:// URL, nor a variable with one")
    return url


def _print_plan(steps: Sequence[Step], place: str) -> None:
    for step in steps:
        if step.needs_approval:
            out.print(_left_behind(step, place), markup=False)
            continue
        verb = "create" if step.held_revision is None else "change"
        out.print(f"{verb} {step.kind} {step.name} in {place}: {in_words(step.differences)}", markup=False)
    if not steps:
        out.print(f"nothing to do: {place} has the same", markup=False)


def _print_done(steps: Sequence[Step], asked: Mapping[str, int], place: str, *, as_json: bool) -> None:
    """Say what now waits for a second person.

    Raises:
        Conflict: Something was left behind without being asked for.
    """
    if as_json:
        print_json(
            [{**asdict(step), "request": asked.get(step.name) if step.kind == "flag" else None} for step in steps]
        )
    else:
        for name, request in asked.items():
            out.print(
                f"asked for {name} in {place}: another person runs `opsbook flags approve {request}` there",
                markup=False,
            )
    left = [step for step in steps if step.needs_approval and not (step.kind == "flag" and step.name in asked)]
    if left:
        raise Conflict("; ".join(_left_behind(step, place) for step in left))


def _left_behind(step: Step, place: str) -> str:
    if step.kind == "segment":
        return f"left behind: segment {step.name}: a flag that asks for a second person in {place} names it"
    return f"left behind: flag {step.name} asks for a second person in {place}: add --ask to have it asked for"
