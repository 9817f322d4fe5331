"""`opsbook runbook`: list, show, run and prove the steps of a runbook."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from opsbook.core import console
from opsbook.core.console import DryRunOption, JsonOption, YesOption
from opsbook.runbook.execute import Outcome, execute
from opsbook.runbook.parse import Runbook, Step, read_runbook
from opsbook.runbook.prove import prove

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, show, run and prove the steps of RUNBOOK.md.")

FileOption = Annotated[Path, typer.Option("--file", "-f", help="The runbook.", envvar="OPSBOOK_RUNBOOK")]
NameArgument = Annotated[
    str, typer.Argument(metavar="STEP", help="The step's name, as `opsbook runbook list` shows it.")
]

RUNBOOK = Path("RUNBOOK.md")


@app.command("list")
def list_steps(file: FileOption = RUNBOOK, json: JsonOption = False) -> None:
    """List the steps.

    Example: opsbook runbook list
    """
    steps = read_runbook(file).steps
    if json:
        console.print_json([_described(step) for step in steps])
        return
    rows = [(step.name, step.language, f"{file.name}:{step.line}", " › ".join(step.headings)) for step in steps]
    console.print_table(["step", "language", "line", "where"], rows, empty=f"{file} has no block that can be run")


@app.command()
def show(step: NameArgument, file: FileOption = RUNBOOK, json: JsonOption = False) -> None:
    """Show a step: where it stands, what it runs, what it expects.

    Example: opsbook runbook show kill-switch
    """
    found = read_runbook(file).step(step)
    if json:
        console.print_json(_described(found) | {"code": found.code, "expected": found.expected})
        return
    console.out.print(f"{file}:{found.line}  {' › '.join(found.headings)}", style="bold", markup=False)
    console.out.print(found.code.rstrip(), markup=False)
    if found.expected:
        console.out.print("expects", style="bold")
        console.out.print(found.expected.rstrip(), markup=False)


@app.command()
def run(
    step: NameArgument,
    file: FileOption = RUNBOOK,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Run one step here, for real, on whatever this shell's environment names.

    Example: opsbook runbook run kill-switch --yes
    """
    found = read_runbook(file).step(step)
    if not json:
        console.out.print(found.code.rstrip(), markup=False)
    if dry_run:
        return
    console.confirm(f"run {found.name} ({file}:{found.line}) here", yes=yes)
    outcome = execute(found, os.environ, file.absolute().parent)
    if json:
        console.print_json(_result(outcome))
    else:
        console.out.print(outcome.output.rstrip(), markup=False)
        _complain(file, outcome)
    raise typer.Exit(0 if outcome.ok else 1)


@app.command("test")
def prove_steps(file: FileOption = RUNBOOK, json: JsonOption = False) -> None:
    """Prove the runbook: run every step on a scratch service with databases of its own.

    Example: opsbook runbook test
    """
    runbook = read_runbook(file)
    outcomes: list[Outcome] = []
    for outcome in prove(runbook):
        outcomes.append(outcome)
        if not json:
            _report(file, outcome)
    excluded = [step for step in runbook.steps if step.excluded]
    if json:
        console.print_json(
            {"steps": [_result(outcome) for outcome in outcomes], "excluded": [*map(_described, excluded)]}
        )
    else:
        _summarise(runbook, outcomes, excluded)
    raise typer.Exit(0 if all(outcome.ok for outcome in outcomes) else 1)


def _report(file: Path, outcome: Outcome) -> None:
    """One line as a step ends; what it printed only where it failed."""
    verdict = "[green]ok[/green]    " if outcome.ok else "[red]FAILED[/red]"
    place = f"{file.name}:{outcome.step.line}"
    console.out.print(f"{verdict}  {outcome.seconds:6.2f} s  {place:18}  ", end="")
    console.out.print(outcome.step.name, markup=False)
    _complain(file, outcome)
    if not outcome.ok:
        console.out.print(outcome.output.rstrip(), markup=False)


def _complain(file: Path, outcome: Outcome) -> None:
    if outcome.problem:
        console.err.print(f"{file}:{outcome.step.line}: {outcome.step.name} {outcome.problem}", markup=False)


def _summarise(runbook: Runbook, outcomes: list[Outcome], excluded: list[Step]) -> None:
    for step in excluded:
        console.out.print(f"not run  {runbook.path.name}:{step.line} {step.name}: {step.excluded}", markup=False)
    failed = sum(not outcome.ok for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    console.out.print(f"{len(outcomes)} steps run in {seconds:.1f} s, {failed} failed, {len(excluded)} not run")


def _described(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "language": step.language,
        "line": step.line,
        "headings": step.headings,
        "excluded": step.excluded,
    }


def _result(outcome: Outcome) -> dict[str, object]:
    return _described(outcome.step) | {
        "ok": outcome.ok,
        "seconds": round(outcome.seconds, 3),
        "problem": outcome.problem,
        "output": outcome.output,
    }
