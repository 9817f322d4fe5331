"""`opsbook serve` and `opsbook worker`: the control plane and its jobs on databases that are already there."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Annotated

import typer

from opsbook.core.log import set_up_logging
from opsbook.core.settings import load_settings

_GRACEFUL_SHUTDOWN_SECONDS = 3


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
) -> None:
    """Serve the API and the console beside the service, on OPSBOOK_DATABASE_URL.

    Example: OPSBOOK_DATABASE_URL=postgresql://… opsbook serve --port 8100
    """
    import uvicorn

    from opsbook.chapters import CHAPTERS
    from opsbook.core.schema import prepare_ops_database

    settings = load_settings()
    set_up_logging(settings.log_level)
    prepare_ops_database(settings, CHAPTERS)
    if settings.secret_key is None:
        # One for all processes, else a form that one of them served is refused by the next.
        os.environ["SECRET_KEY"] = secrets.token_hex(32)
    uvicorn.run(
        "opsbook.server:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_config=None,
        # Whom to believe is OPSBOOK_TRUSTED_PROXIES' to say; uvicorn would put another caller in the peer's place.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACEFUL_SHUTDOWN_SECONDS,
    )


def worker() -> None:
    """Run background and periodic jobs until stopped; any number of workers may run.

    Example: OPSBOOK_DATABASE_URL=postgresql://… opsbook worker
    """
    from opsbook.chapters import CHAPTERS
    from opsbook.core.jobs import run_worker
    from opsbook.core.schema import prepare_ops_database
    from opsbook.debugging import shipping_logs

    settings = load_settings()
    set_up_logging(settings.log_level)
    prepare_ops_database(settings, CHAPTERS)
    with shipping_logs(settings):
        asyncio.run(run_worker(settings, CHAPTERS))
