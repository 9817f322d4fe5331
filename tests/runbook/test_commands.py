"""`opsbook runbook`: what a person sees of a runbook, and how a broken one fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from opsbook.core.errors import NotFound
from opsbook.runbook.commands import app

RUNBOOK = """# Notes

## First

```sh {"name":"greet"}
echo '{"hello": "world"}'
```

```json
{"hello": "…"}
```

```sh {"name":"fails"}
echo before
false
```

```sh {"name":"by-hand","excludeFromRunAll":"true","why":"it asks a person"}
read answer
```
"""

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    (tmp_path / "RUNBOOK.md").write_text(RUNBOOK)

    def called(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--file", str(tmp_path / "RUNBOOK.md")])

    return called


def test_list_names_each_step_and_its_line(call: Call) -> None:
    listed = json.loads(call("list", "--json").stdout)
    assert [(step["name"], step["line"], step["headings"]) for step in listed] == [
        ("greet", 5, ["First"]),
        ("fails", 13, ["First"]),
        ("by-hand", 18, ["First"]),
    ]
    assert "RUNBOOK.md:13" in call("list").stdout.replace("\n", "")


def test_show_prints_the_step_and_what_it_expects(call: Call) -> None:
    shown = call("show", "greet").stdout
    assert 'echo \'{"hello": "world"}\'' in shown
    assert '{"hello": "…"}' in shown


def test_run_runs_one_step_here(call: Call) -> None:
    assert call("run", "greet", "--yes").exit_code == 0
    failed = call("run", "fails", "--yes", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["problem"] == "ended with exit code 1"


def test_run_asks_first_and_can_only_tell(call: Call) -> None:
    asked = call("run", "greet")
    assert asked.exit_code == 2
    told = call("run", "fails", "--dry-run")
    assert (told.exit_code, told.stdout) == (0, "echo before\nfalse\n")


def test_an_unknown_step_is_named(call: Call) -> None:
    result = call("run", "nonsense", "--yes")
    assert isinstance(result.exception, NotFound)
    assert "opsbook runbook list" in str(result.exception)


def test_a_failing_block_ends_the_proof_with_its_line(call: Call) -> None:
    result = call("test")
    assert result.exit_code == 1
    assert "RUNBOOK.md:13: fails ended with exit code 1" in result.output.replace("\n", "")
    assert "before" in result.stdout
    assert "2 steps run" in result.stdout
    assert "1 failed, 1 not run" in result.stdout
