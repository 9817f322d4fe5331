"""`opsbook errors`: straight on the ops database, so that it works with no server up."""

from __future__ import annotations

import typer

from opsbook.debugging.errors.commands import decisions, projects, reading

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Find errors and decide about them.")

for part in (reading, decisions):
    app.add_typer(part.app)
app.add_typer(projects.project_app, name="project")
app.add_typer(projects.key_app, name="key")
