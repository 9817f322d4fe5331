"""Proves a runbook: every step, in order, on a scratch service."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.runbook.execute import Outcome, execute
from opsbook.runbook.parse import Runbook
from opsbook.runbook.scratch import scratch_service


def prove(runbook: Runbook) -> Iterator[Outcome]:
    """Run each step that is not excluded and give what came of it, as it comes.

    A step that fails does not end the proof: the next may stand on its own.

    Raises:
        Unavailable: The scratch service did not start.
    """
    with scratch_service(runbook.path.absolute().parent) as scratch:
        environment = dict(scratch.environment)
        for step in runbook.steps:
            if step.excluded is None:
                outcome = execute(step, environment, scratch.folder)
                environment |= outcome.exported
                yield outcome
