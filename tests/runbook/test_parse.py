"""Reading a runbook: which blocks count, what they are called, where they stand."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.core.errors import Invalid, NotFound
from opsbook.runbook.parse import parse_runbook, read_runbook

TEXT = """# Title

## Contain

Some words, then:

```sql {"name":"kill-switch","database":"service"}
select 1;
```

### Check

```sh
echo '{"a": 1}'
```

```json
{"a": 1}
```

```text
not run
```

```python { interactive=false }
print(1)
```
"""


def test_steps_carry_name_kind_line_and_headings() -> None:
    kill, check, python = parse_runbook(TEXT)
    assert (kill.name, kill.kind, kill.line, kill.headings) == ("kill-switch", "sql", 7, ("Contain",))
    assert kill.attributes["database"] == "service"
    assert kill.code == "select 1;\n"
    assert (check.name, check.kind, check.line, check.headings) == ("check", "shell", 13, ("Contain", "Check"))
    assert python.attributes == {"interactive": "false"}


def test_a_json_block_is_the_output_expected_of_the_block_before_it() -> None:
    kill, check, python = parse_runbook(TEXT)
    assert (kill.expected, check.expected, python.expected) == (None, '{"a": 1}\n', None)


@pytest.mark.parametrize("between", ["## B\n", "## A\n", "```text\nan example\n```\n", "## B\n```text\n```\n"])
def test_a_json_block_elsewhere_expects_nothing(between: str) -> None:
    (step,) = parse_runbook(f"## A\n```sh\ntrue\n```\n{between}```json\n{{}}\n```\n")
    assert step.expected is None


def test_a_block_without_a_name_is_called_after_its_heading() -> None:
    steps = parse_runbook("## Pool status\n```sh\ntrue\n```\n```sh\ntrue\n```\n```sh\ntrue\n```\n")
    assert [step.name for step in steps] == ["pool-status", "pool-status-2", "pool-status-3"]


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ('```sh {"name": }\n```', "not JSON"),
        ("```sh {}}\n```", "not JSON"),
        ('```sh {"excludeFromRunAll":"true"}\n```', "say why"),
        ('```sql {"database":"other"}\n```', "must be"),
        ('```sh {"name":"x"}\n```\n```sh {"name":"x"}\n```', "already"),
        ("```sh\ntrue\n```\n```json\n{\n```", "expected output"),
    ],
)
def test_a_wrong_block_is_refused_with_its_place(block: str, says: str) -> None:
    with pytest.raises(Invalid, match=rf"notes.md:\d+: .*{says}"):
        parse_runbook(block, "notes.md")


def test_a_boolean_excludes_as_its_text_does() -> None:
    (step,) = parse_runbook('```sh {"excludeFromRunAll":true,"why":"asks a person"}\ntrue\n```')
    assert step.excluded == "asks a person"


def test_a_block_in_a_list_is_a_step_too() -> None:
    (step,) = parse_runbook("1. First\n\n   ```sh\n   echo hi\n   ```\n")
    assert (step.line, step.code) == (3, "echo hi\n")


@given(st.text(max_size=300))
def test_any_text_is_a_runbook_or_refused(text: str) -> None:
    with contextlib.suppress(Invalid):
        parse_runbook(text)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no runbook at"):
        read_runbook(tmp_path / "RUNBOOK.md")
    (tmp_path / "RUNBOOK.md").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match="not UTF-8"):
        read_runbook(tmp_path / "RUNBOOK.md")
