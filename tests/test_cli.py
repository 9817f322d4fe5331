"""The command line as a whole: help, exit codes, JSON, and nothing changed without a yes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
import typer

from opsbook import cli
from opsbook.chapters import CHAPTERS
from tests.command_line import Typed, opsbook

Call = Callable[..., Typed]


@pytest.fixture
def call(ops_url: str, service_url: str) -> Call:
    return lambda *arguments: opsbook(*arguments, OPSBOOK_DATABASE_URL=ops_url, DATABASE_URL=service_url)


def every_command(group: Any, path: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The path of each command below a group."""
    context = typer.Context(group)
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        if path:
            command = group.get_command(context, name)
        else:
            _, command, _ = group.resolve_command(context, [name])
        found += every_command(command, [*path, name]) if hasattr(command, "commands") else [(*path, name)]
    return found


COMMANDS = every_command(typer.main.get_command(cli.app))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    typed = opsbook(*command, "--help")
    assert typed.code == 0
    assert f"opsbook {' '.join(command)}" in typed.out.partition("Example")[2]


def test_it_runs_as_a_module_and_says_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "opsbook", "--version"],
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == cli_version()


def test_alone_it_shows_every_group() -> None:
    shown = opsbook("--help").out
    for name in ("up", "serve", "worker", "flags", "health", "token", "audit", "runbook", "link"):
        assert f" {name} " in shown
    assert "Exit codes" in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("no-such-command",), 2),
        (("--no-such-option",), 2),
        (("flags", "list", "--no-such-option"), 2),
        (("flags", "rollout", "x", "101", "--yes"), 2),
        (("flags", "create", "a/b"), 2),
        (("flags", "show", "never-made"), 3),
        (("flags", "kill", "never-made", "--yes"), 3),
    ],
)
def test_exit_codes(call: Call, arguments: tuple[str, ...], code: int) -> None:
    typed = call(*arguments)
    assert typed.code == code, typed.err
    assert "Traceback" not in typed.err


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "OPSBOOK_DATABASE_URL"),
        ({"OPSBOOK_DATABASE_URL": "postgresql://nobody:secret-word@127.0.0.1:1/none"}, "does not answer"),
        ({"OPSBOOK_DATABASE_URL": "no address at all"}, "OPSBOOK_DATABASE_URL"),
        ({"LOG_LEVEL": "LOUD", "SECRET_KEY": "secret-word"}, "LOG_LEVEL"),
    ],
)
@pytest.mark.parametrize("command", [("flags", "list"), ("audit", "verify"), ("serve",), ("worker",)], ids=" ".join)
def test_what_cannot_be_done_is_told_in_a_line_and_exits_3(
    command: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    typed = opsbook(*command, **environment)
    assert typed.code == 3, typed.err
    assert says in typed.err
    assert "Traceback" not in typed.err
    assert "secret-word" not in typed.err


def test_a_database_without_our_tables_is_told(clusters: object, service_url: str) -> None:
    typed = opsbook("flags", "list", OPSBOOK_DATABASE_URL=service_url)
    assert typed.code == 3
    assert "opsbook serve" in typed.err


@pytest.mark.parametrize(
    "command",
    [
        ("flags", "list"),
        ("flags", "show", "standing"),
        ("flags", "history", "standing"),
        ("flags", "evaluate", "standing"),
        ("token", "list"),
        ("audit", "tail"),
        ("audit", "verify"),
        ("link",),
        ("health",),
    ],
    ids=" ".join,
)
def test_json_is_json(call: Call, database: psycopg.Connection, command: tuple[str, ...]) -> None:
    database.execute("insert into feature_flags (name) values ('standing') on conflict do nothing")
    typed = call(*command, "--json")
    assert typed.code in (0, 1), typed.err
    assert typed.json is not None


@pytest.mark.parametrize(
    "command",
    [
        ("flags", "kill", "asked"),
        ("flags", "set", "asked", "--enabled"),
        ("flags", "rollout", "asked", "5"),
        ("flags", "delete", "asked"),
        ("flags", "undo", "asked"),
    ],
    ids=" ".join,
)
def test_nothing_changes_without_a_yes(call: Call, database: psycopg.Connection, command: tuple[str, ...]) -> None:
    database.execute("insert into feature_flags (name) values ('asked') on conflict do nothing")
    query = "select f::text, (select max(id) from security_audit) from feature_flags f where name = 'asked'"
    before = database.execute(query).fetchone()
    unasked = call(*command)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    rehearsed = call(*command, "--dry-run")
    assert rehearsed.code == 0
    assert "would" in rehearsed.out
    assert database.execute(query).fetchone() == before


def cli_version() -> str:
    from opsbook import __version__

    return __version__


def test_every_chapters_commands_are_there() -> None:
    declared = {name for chapter in CHAPTERS for name in chapter.commands}
    assert declared <= {path[0] for path in COMMANDS}
