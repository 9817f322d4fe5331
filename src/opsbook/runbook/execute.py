"""Runs one step of a runbook as it stands: shell, SQL through psql, or Python.

The command line is built purely and run in one place. What a shell block exports, later blocks see,
as in Runme's sessions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opsbook.runbook.expect import difference
from opsbook.runbook.parse import Step

STEP_SECONDS = 60.0
"""How long a step may take before it counts as failed."""

_SHELL_OPTIONS = {"bash": ["-euo", "pipefail"], "sh": ["-eu"], "shell": ["-eu"]}
_OF_THE_SHELL = {"_", "OLDPWD", "PWD", "SHLVL", "OPSBOOK_RUNBOOK_EXPORTS"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What running a step showed."""

    step: Step
    seconds: float
    output: str
    """Standard output and error, as they came."""
    problem: str | None
    """Why it failed, in one line; None where it did not."""
    exported: Mapping[str, str]
    """Environment variables that the step set for those after it."""

    @property
    def ok(self) -> bool:
        return self.problem is None


def execute(step: Step, environment: Mapping[str, str], folder: Path, seconds: float = STEP_SECONDS) -> Outcome:
    """Run a step in a folder and compare its output with what the runbook expects."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="opsbook-step-") as scratch:
        exports, errors = Path(scratch, "exports"), Path(scratch, "errors")
        inside = {**environment, "OPSBOOK_RUNBOOK_EXPORTS": str(exports)}
        with errors.open("w+b") as error_file:
            code, output = _run(command_of(step), script_of(step), inside, folder, seconds, error_file.fileno())
        complaints = errors.read_text(encoding="utf-8", errors="replace")
        exported = _exported(exports, environment)
    return Outcome(step, time.monotonic() - began, output + complaints, _problem(step, code, output, seconds), exported)


def command_of(step: Step) -> list[str]:
    """The program that takes the step's code on standard input."""
    if step.kind == "sql":
        database = step.attributes.get("database", "ops")
        return [sys.executable, "-m", "opsbook", "psql", database, "--", "-X", "--set=ON_ERROR_STOP=1", "--file=-"]
    if step.kind == "python":
        return [sys.executable, "-"]
    return ["bash" if step.language == "bash" else "sh", *_SHELL_OPTIONS[step.language], "-s"]


def script_of(step: Step) -> str:
    """The step's code, made to leave its exports behind where it is shell."""
    if step.kind != "shell":
        return step.code
    return f"trap 'env -0 >\"$OPSBOOK_RUNBOOK_EXPORTS\"' EXIT\n{{ :\n{step.code.rstrip()}\n}} </dev/null\n"


def _run(
    command: list[str], script: str, environment: Mapping[str, str], folder: Path, seconds: float, errors: int
) -> tuple[int | None, str]:
    """Exit code (None when time ran out) and standard output."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=dict(environment),
        cwd=folder,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(script, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return None, output
        return process.returncode, output


def _problem(step: Step, code: int | None, output: str, seconds: float) -> str | None:
    if code is None:
        return f"took longer than {seconds:g} s"
    if code != 0:
        return f"ended with exit code {code}"
    return difference(step.expected, output) if step.expected else None


def _exported(file: Path, before: Mapping[str, str]) -> dict[str, str]:
    if not file.exists():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").split("\0")
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: value for name, value in pairs.items() if name not in _OF_THE_SHELL and before.get(name) != value}
