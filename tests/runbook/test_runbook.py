"""RUNBOOK.md and README.md do what they say: every block runs as it stands, on a scratch service."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsbook.runbook.parse import read_runbook
from opsbook.runbook.prove import prove

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("document", ["RUNBOOK.md", "README.md"])
def test_every_step_runs_as_it_stands(document: str) -> None:
    runbook = read_runbook(ROOT / document)
    outcomes = list(prove(runbook))
    failed = [f"{document}:{it.step.line}: {it.step.name} {it.problem}\n{it.output}" for it in outcomes if not it.ok]
    assert not failed, "\n".join(failed)
    assert [it.step for it in outcomes] == [step for step in runbook.steps if not step.excluded]


def test_few_steps_are_left_out() -> None:
    assert [step.name for step in read_runbook(ROOT / "RUNBOOK.md").steps if step.excluded] == ["debug-logging"]
    assert [step.name for step in read_runbook(ROOT / "README.md").steps if step.excluded] == ["make-up", "make-test"]
