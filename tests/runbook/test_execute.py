"""Running a single step: its output, its exit code, its exports, its deadline."""

from __future__ import annotations

import os
import time
from pathlib import Path

from opsbook.runbook.execute import Outcome, execute
from opsbook.runbook.parse import parse_runbook


def run(block: str, folder: Path, seconds: float = 20) -> Outcome:
    return execute(parse_runbook(block)[0], os.environ, folder, seconds)


def test_a_step_runs_in_the_folder_and_shows_its_output(tmp_path: Path) -> None:
    outcome = run("```sh\npwd\necho complaint >&2\n```", tmp_path)
    assert outcome.ok
    assert outcome.output == f"{tmp_path}\ncomplaint\n"


def test_shell_ends_at_the_first_failure(tmp_path: Path) -> None:
    outcome = run("```bash\nfalse | true\necho still here\n```", tmp_path)
    assert outcome.problem == "ended with exit code 1"
    assert "still here" not in outcome.output


def test_a_block_of_comments_is_well(tmp_path: Path) -> None:
    assert run("```sh\n# nothing to do\n```", tmp_path).ok


def test_a_step_reads_no_input(tmp_path: Path) -> None:
    outcome = run("```sh\ncat\necho done\n```", tmp_path)
    assert (outcome.problem, outcome.output) == (None, "done\n")


def test_exports_are_handed_on(tmp_path: Path) -> None:
    outcome = run("```sh\nexport USER_ID='two\nlines'\nlocal_only=1\n```", tmp_path)
    assert outcome.exported == {"USER_ID": "two\nlines"}


def test_python_imports_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("answer = 42\n")
    assert run("```python\nimport neighbour\nprint(neighbour.answer)\n```", tmp_path).output == "42\n"


def test_an_unexpected_output_is_a_failure(tmp_path: Path) -> None:
    outcome = run('```sh\necho \'{"status": "down"}\'\n```\n```json\n{"status": "ok"}\n```', tmp_path)
    assert outcome.problem == 'status is "down", expected "ok"'


def test_a_step_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    began = time.monotonic()
    outcome = run("```sh\nsleep 60 & echo $! > child\nsleep 60\n```", tmp_path, seconds=0.5)
    assert outcome.problem == "took longer than 0.5 s"
    assert time.monotonic() - began < 10
    state = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"
