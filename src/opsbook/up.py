"""`opsbook up`: databases, schema, service and worker on one machine, in the foreground, from nothing.

The procedure is `_bring_up`, top to bottom; the steps stand below it in order.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from opsbook.core import console
from opsbook.core.log import set_up_logging
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.postgres.home import Home
from opsbook.core.postgres.server import STOP_STEPS as POSTGRES_STOP_STEPS
from opsbook.core.settings import Settings, load_settings
from opsbook.core.supervision.ports import require_free
from opsbook.core.supervision.processes import Process, StopStep, spawn
from opsbook.core.supervision.readiness import wait_until_live, wait_until_ready
from opsbook.core.supervision.signals import Signals
from opsbook.core.supervision.strays import MARK, end_strays
from opsbook.core.supervision.supervisor import Child, Supervisor

MIGRATIONS = Path("supabase/migrations")
SERVICE = Path("backend/main.py")
PROGRAM_STOP_STEPS = (StopStep(signal.SIGTERM, 3.0),)
"""With Postgres' 5 s and a second for its orphans, everything is gone within 10 s."""
REQUEST_GRACE_SECONDS = 2
"""What open requests, live pages above all, get to end after a stop."""


def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port of the service and the console.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    home: Annotated[
        Path | None, typer.Option(help="Folder of the databases and secrets. [default: OPSBOOK_HOME or .opsbook]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes of the service.")] = 1,
    json: console.JsonOption = False,
) -> None:
    """Start everything on embedded Postgres: two databases, the service of this folder, the console, the worker.

    Runs until Ctrl-C. Example: opsbook up --port 8001
    """
    settings = load_settings(**({"home": home} if home else {}))
    set_up_logging(settings.log_level)
    place = Place(settings, host, port, workers, EmbeddedPostgres(settings.home, _tell))
    with Signals() as signals:
        supervisor = Supervisor(signals)
        try:
            urls = _bring_up(place, supervisor, signals)
            signals.interrupting = False
            signals.interrupt()
            _announce(place, urls["ops"], json)
            supervisor.run()
        except KeyboardInterrupt:
            _tell("start cut short")
            raise typer.Exit(130) from None
        finally:
            signals.interrupting = False
            _take_down(place, supervisor)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how one `up` runs."""

    settings: Settings
    host: str
    port: int
    workers: int
    postgres: EmbeddedPostgres

    @property
    def home(self) -> Home:
        return self.postgres.home

    @property
    def address(self) -> str:
        """The base address for a browser on this machine."""
        reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        bracketed = f"[{reachable}]" if ":" in reachable and not reachable.startswith("[") else reachable
        return f"http://{bracketed}:{self.port}"


def _bring_up(place: Place, supervisor: Supervisor, signals: Signals) -> Mapping[str, str]:
    place.postgres.reserve()
    _clear_the_way(place)
    urls = place.postgres.start()
    supervisor.add(_databases(place), POSTGRES_STOP_STEPS)
    signals.interrupt()
    _prepare_databases(urls)
    signals.interrupt()
    environment = _environment(place, urls)
    web, worker = _web(place, environment), _worker(environment)
    supervisor.add([web, worker], PROGRAM_STOP_STEPS)
    assert web.process is not None
    wait_until_live(place.address, web.process)
    wait_until_ready(place.address)
    return urls


def _clear_the_way(place: Place) -> None:
    place.home.remove("up.json")
    strays = end_strays(place.home.path)
    if strays:
        _tell(f"ended {strays} processes left over from before")
    require_free(place.host, place.port)
    if os.geteuid() == 0:
        _warn("started as root: the service and the worker run as root and may do anything; only the databases do not")
        _warn("start as an ordinary user unless that is meant")
    for variable in ("OPSBOOK_DATABASE_URL", "DATABASE_URL"):
        if os.environ.get(variable):
            _tell(f"{variable} is set, but `up` always uses the embedded databases; `opsbook serve` would use it")


def _databases(place: Place) -> list[Child]:
    return [Child(f"postgres-{it.name}", it.start, process=it.process) for it in place.postgres.servers]


def _prepare_databases(urls: Mapping[str, str]) -> None:
    from opsbook.chapters import CHAPTERS
    from opsbook.core.schema import apply_schema
    from opsbook.database.migrations import apply_pending

    applied = apply_schema(urls["ops"], CHAPTERS)
    if applied:
        _tell(f"ops database: applied {len(applied)} schema files")
    if MIGRATIONS.is_dir():
        for migration in apply_pending(urls["service"], MIGRATIONS):
            _tell(f"service database: applied migration {migration.path.name}")


def _environment(place: Place, urls: Mapping[str, str]) -> dict[str, str]:
    """What the service and the worker are told; a token or key of the environment beats the home's own."""
    given = place.settings
    admin_token = place.home.keep("admin-token", lambda: secrets.token_urlsafe(32))
    secret_key = place.home.keep("secret-key", lambda: secrets.token_hex(32))
    return {
        # One that the environment gives leads to another Sentry, and what arrives here goes on to it.
        **_sentry_dsn(place, urls["ops"]),
        **os.environ,
        MARK: str(place.home.path),
        "OPSBOOK_HOME": str(place.home.path),
        "OPSBOOK_DATABASE_URL": urls["ops"],
        "DATABASE_URL": urls["service"],
        "ADMIN_TOKEN": given.admin_token.get_secret_value() if given.admin_token else admin_token,
        "SECRET_KEY": given.secret_key.get_secret_value() if given.secret_key else secret_key,
    }


def _sentry_dsn(place: Place, ops_url: str) -> dict[str, str]:
    """Where the service sends its errors: here, by the first project's oldest key that is in use."""
    import psycopg

    from opsbook.debugging import dsn_of

    with psycopg.connect(ops_url) as connection:
        dsn = dsn_of(connection, place.address)
    if dsn is None:
        place.home.remove("sentry-dsn")
        return {}
    place.home.write("sentry-dsn", dsn + "\n")
    given = place.settings.sentry_dsn  # one in `.env`
    return {"SENTRY_DSN": given.get_secret_value() if given else dsn}


def _web(place: Place, environment: Mapping[str, str]) -> Child:
    if SERVICE.is_file():
        application = ("backend.main:app",)
    else:
        _tell(f"no service here ({SERVICE} does not exist): running the control plane alone; `opsbook init` makes one")
        application = ("--factory", "opsbook.server:create_app")
    # No access log: its lines would carry query strings, and with them the sign-in link.
    quiet = ("--no-access-log", "--log-level", "debug" if place.settings.log_level == "DEBUG" else "warning")
    listening = ("--host", place.host, "--port", str(place.port), "--workers", str(place.workers))
    grace = ("--timeout-graceful-shutdown", str(REQUEST_GRACE_SECONDS))
    # Whom to believe is OPSBOOK_TRUSTED_PROXIES' to say; uvicorn would put another caller in the peer's place.
    proxy = ("--no-proxy-headers",)
    return _program("web", ("uvicorn", *application, *listening, *quiet, *grace, *proxy), environment)


def _worker(environment: Mapping[str, str]) -> Child:
    return _program("worker", ("opsbook", "worker"), environment)


def _program(name: str, module: tuple[str, ...], environment: Mapping[str, str]) -> Child:
    def start() -> Process:
        return spawn(
            [sys.executable, "-m", *module],
            stop_signal=signal.SIGTERM,
            environment=environment,
            # Standard output is ours alone: with --json it carries one line.
            output=sys.stderr.fileno(),
        )

    return Child(name, start)


def _announce(place: Place, ops_url: str, json: bool) -> None:
    from opsbook.core.access.links import create_sign_in_link

    link = f"{place.address}/ops/sign-in?link={create_sign_in_link(ops_url)}"
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"pid": os.getpid(), "url": place.address, "started_at": started_at}
    place.home.write("up.json", orjson.dumps(facts).decode() + "\n")
    if json:
        print(orjson.dumps({**facts, "sign_in": link, "home": str(place.home.path)}).decode(), flush=True)  # noqa: T201
    else:
        print(f"opsbook is up: {place.address}\nsign in once:  {link}", flush=True)  # noqa: T201


def _take_down(place: Place, supervisor: Supervisor) -> None:
    supervisor.stop()
    if place.postgres.lock.held:
        place.home.remove("up.json")
    place.postgres.stop()


def _warn(message: str) -> None:
    console.err.print(message, style="bold yellow", markup=False, soft_wrap=True)


def _tell(message: str) -> None:
    console.err.print(message, style="dim", markup=False, soft_wrap=True)
