"""The command line of the database; straight on the databases, so that it works with no server up."""

from __future__ import annotations

import typer

from opsbook.database.pool import commands as pool

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look after the database: its connection pools.")


@app.callback()
def _db() -> None:
    """Keeps `pool` a command of its own while the group has but one."""


app.add_typer(pool.app)
