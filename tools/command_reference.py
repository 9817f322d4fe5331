"""Writes docs/commands.md from the commands themselves; with `--check`, says where it no longer fits them."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from opsbook.cli import app

PAGE = Path(__file__).resolve().parent.parent / "docs/commands.md"
INTRODUCTION = """\
# Commands

Written by `make format` from `opsbook --help`; do not edit.

Every command says with `--help` what it does and shows an example. Those that change something say what they will
touch, take `--yes` and `--dry-run`, and stand in the audit. Exit codes: 0 done, 1 a check found something,
2 wrong usage, 3 could not reach or do it.
"""


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; 1 where it differs."""
    page = "\n".join([INTRODUCTION, *reference()])
    if arguments != ["--check"]:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    present = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    difference = difflib.unified_diff(
        present.splitlines(), page.splitlines(), "docs/commands.md", "the commands", lineterm=""
    )
    lines = list(difference)
    if lines:
        print("\n".join([*lines, "", "`make format` writes it anew"]))
    return 1 if lines else 0


def reference() -> Iterator[str]:
    root: Any = typer.main.get_command(app)
    context = root.make_context("opsbook", [], resilient_parsing=True)
    for name in root.list_commands(context):
        _, command, _ = root.resolve_command(context, [name])
        yield from described(command, f"opsbook {name}", context, level=2)


def described(command: Any, path: str, parent: Any, level: int) -> Iterator[str]:
    """A command's section, then those of its own commands."""
    context = type(parent)(command, info_name=path, parent=None)
    yield f"{'#' * level} {path}\n"
    words, example = explained(command.help or "")
    yield f"{words}\n"
    commands = getattr(command, "commands", {})
    if not commands:
        usage = " ".join(command.collect_usage_pieces(context))
        shown = f"{path} {usage}\n\n{example}".rstrip()
        yield f"```text\n{shown}\n```\n"
        yield from parameters(command, context)
    for name, inner in commands.items():
        yield from described(inner, f"{path} {name}", context, level + 1)


def explained(help_text: str) -> tuple[str, str]:
    """A docstring's words, one paragraph a line, and its example."""
    words, _, example = help_text.partition("Example: ")
    paragraphs = (" ".join(paragraph.split()) for paragraph in words.split("\n\n"))
    return "\n\n".join(filter(None, paragraphs)), " ".join(example.split())


def parameters(command: Any, context: Any) -> Iterator[str]:
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    if records:
        yield "| | |\n|---|---|"
        yield from (f"| `{cell(names)}` | {cell(meaning)} |" for names, meaning in records)
        yield ""


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
