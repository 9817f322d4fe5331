"""The command line: `opsbook`, one group a chapter, each loaded when it is first used."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from opsbook.core.chapter import Command, load
from opsbook.core.errors import OpsbookError

_OWN_COMMANDS = {
    "up": Command("opsbook.up:up", "Start everything on embedded Postgres."),
    "serve": Command("opsbook.serve:serve", "Serve the API and the console on given databases."),
    "worker": Command("opsbook.serve:worker", "Run background and periodic jobs."),
    "init": Command("opsbook.init:init", "Write a service to start from into a folder."),
    "url": Command("opsbook.core.postgres.commands:url", "Print the address of a database."),
    "psql": Command("opsbook.core.postgres.commands:psql", "Open psql on a database."),
}


class ChapterGroup(TyperGroup):
    """Lists every command from its declaration, and imports the one that is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = _commands().get(cmd_name)
        return _listed(cmd_name, command) if command else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, _loaded(name, _commands()[name]) if name else listed, rest


app = typer.Typer(
    cls=ChapterGroup,
    no_args_is_help=True,
    help="The operations runbook of a Postgres-backed web service, as running software.",
    epilog="Exit codes: 0 done · 1 a check found something · 2 wrong usage · 3 could not reach or do it.",
)


@app.callback(invoke_without_command=True)
def main_options(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Options of `opsbook` itself."""
    if version:
        from opsbook import __version__

        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line; errors that say what to do become one line and an exit code."""
    from opsbook.core.console import fail

    try:
        app()
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        sys.exit(fail(told))


def _told(error: Exception) -> OpsbookError | None:
    if isinstance(error, OpsbookError):
        return error
    import psycopg

    from opsbook.core.database_errors import explain

    return explain(error) if isinstance(error, psycopg.Error) else None


def _commands() -> dict[str, Command]:
    from opsbook.chapters import CHAPTERS

    return {**_OWN_COMMANDS, **{name: c for chapter in CHAPTERS for name, c in chapter.commands.items()}}


def _loaded(name: str, command: Command) -> Any:
    target = load(command.target)
    if not isinstance(target, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name)(target)
        target = single
    loaded = typer.main.get_command(target)
    loaded.name = name
    return loaded


def _listed(name: str, command: Command) -> Any:
    """A stand-in that costs no import, for the list of commands."""
    stand_in = typer.Typer(add_completion=False)
    stand_in.command(name, help=command.help)(lambda: None)
    return typer.main.get_command(stand_in)
