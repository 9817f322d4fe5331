"""`opsbook health`: how everything is, as a table, from a running server or by looking for oneself."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated

import psutil
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from opsbook.core.console import JsonOption, out, settings
from opsbook.core.errors import NotConfigured, Unavailable
from opsbook.core.postgres.home import Home, running_at
from opsbook.core.settings import Settings
from opsbook.monitoring.answers import CheckHealth, DetailedHealth, PoolHealth
from opsbook.monitoring.health import Overall, Status

if TYPE_CHECKING:
    import httpx

_ANSWER_SECONDS = 3.0
_WATCH_SECONDS = 1.0
_COLOURS = {"ok": "green", "warn": "yellow", "degraded": "yellow", "down": "bold red", "not_configured": "dim"}


def health(
    url: Annotated[str | None, typer.Option(help="Address of a server; otherwise the one of OPSBOOK_HOME.")] = None,
    json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C, looking every second.")] = False,
) -> None:
    """Show whether everything is well. Exit 0: it is; 1: degraded or down; 3: nobody answers.

    Without a server to ask, the databases are looked at directly.

    Example: opsbook health --url https://ops.example.com
    """
    verdict = asyncio.run(_show(settings(), url, json=json, watch=watch))
    if verdict is not Overall.OK:
        raise typer.Exit(1)


async def _show(configured: Settings, url: str | None, *, json: bool, watch: bool) -> Overall:
    """Show one answer, or one after another; gives the verdict of the last."""
    verdict = Overall.OK
    display = Live(console=out, auto_refresh=False) if watch and not json else None
    with display or contextlib.nullcontext(), contextlib.suppress(asyncio.CancelledError):
        async with contextlib.aclosing(_answers(configured, url)) as answers:
            async for answer in answers:
                verdict = answer.status
                _print(answer, json, display)
                if not watch:
                    break
                await asyncio.sleep(_WATCH_SECONDS)
    return verdict


def _answers(configured: Settings, url: str | None) -> AsyncGenerator[DetailedHealth]:
    address = url or _running_here(configured)
    return _from_server(configured, address, named=url is not None) if address else _from_here(configured)


def _running_here(configured: Settings) -> str | None:
    """Address of the `opsbook up` of our home; None where there is none, or it was killed and left its note behind."""
    noted = running_at(Home(configured.home))
    pid = noted.get("pid", "")
    return noted.get("url") if pid.isdigit() and psutil.pid_exists(int(pid)) else None


async def _from_server(configured: Settings, address: str, *, named: bool) -> AsyncGenerator[DetailedHealth]:
    """What a server says, again and again.

    A server that is named gets our token. One that was found in the home gets the home's own: the folder may come
    from anybody, and what the shell holds is for elsewhere.
    """
    import httpx

    if named:
        token = configured.token.get_secret_value() if configured.token else None
    else:
        token = Home(configured.home).read("admin-token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=_ANSWER_SECONDS) as client:
        while True:
            yield await _ask(client)


async def _ask(client: httpx.AsyncClient) -> DetailedHealth:
    import httpx

    try:
        response = await client.get("/api/monitoring/health")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"{client.base_url} does not answer: {error or type(error).__name__}") from error
    try:
        return DetailedHealth.model_validate_json(response.content)
    except ValueError as error:
        raise Unavailable(
            f"{response.url} answered {response.status_code}, but not with Opsbook's health; is this the right address?"
        ) from error


async def _from_here(configured: Settings) -> AsyncGenerator[DetailedHealth]:
    """What we see ourselves, again and again."""
    from opsbook.monitoring.checks import standard_checks
    from opsbook.monitoring.monitor import HealthMonitor

    if configured.url_of("ops") is None and configured.url_of("service") is None:
        raise NotConfigured(
            "nothing to look at: no server runs here and no database is named;"
            " start `opsbook up`, or give --url, DATABASE_URL or OPSBOOK_DATABASE_URL"
        )
    monitor = HealthMonitor()
    async with standard_checks(monitor, configured):
        await monitor.start()
        try:
            while True:
                yield DetailedHealth.of(monitor.report())
        finally:
            await monitor.stop()


def _print(answer: DetailedHealth, json: bool, display: Live | None) -> None:
    if json:
        sys.stdout.write(answer.json_for(authenticated=True) + "\n")
        sys.stdout.flush()
    elif display:
        display.update(_page(answer), refresh=True)
    else:
        out.print(_page(answer))


def _page(answer: DetailedHealth) -> RenderableType:
    verdict = Text.assemble((answer.status, _COLOURS[answer.status]), f"  {answer.timestamp:%Y-%m-%d %H:%M:%S} UTC")
    return Group(verdict, "", _table(answer.checks), *([Text(""), _pool(answer.pool)] if answer.pool else []))


def _table(checks: list[CheckHealth]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("check")
    table.add_column("status")
    table.add_column("latency", justify="right")
    table.add_column("age", justify="right")
    table.add_column("detail", overflow="fold")
    for check in checks:
        shown = check.status is not Status.NOT_CONFIGURED
        table.add_row(
            Text(check.name),
            Text(check.status.replace("_", " "), _COLOURS[check.status]),
            _milliseconds(check.latency_ms) if shown else "–",
            _milliseconds(check.age_ms) if shown else "–",
            Text(check.detail or ""),
        )
    return table


def _pool(pool: PoolHealth) -> Text:
    capacity = "no limit" if pool.capacity is None else f"{pool.capacity}, {pool.utilization or 0:.0%} used"
    return Text(f"pool: {pool.checked_out} checked out, {pool.checked_in} idle (capacity {capacity})")


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f} ms" if value < 1000 else f"{value / 1000:.1f} s"
