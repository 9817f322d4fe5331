"""`opsbook db pool`: the connection pools of every process, what they wait for, and what to change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from opsbook.core.console import JsonOption, cell, err, out, print_json, run, settings
from opsbook.core.errors import Unavailable
from opsbook.core.ops_database import read
from opsbook.core.postgres.connect import Connection
from opsbook.database.pool.meter import Holder
from opsbook.database.pool.overview import Durations, PoolOverview, ProcessPool, pool_overview, service_database
from opsbook.database.pool.pooler import BROKEN_BY_TRANSACTION_MODE, Mode, Pooler, recognise
from opsbook.database.pool.server import Server
from opsbook.database.pool.store import Moment

app = typer.Typer()

_WATCH_SECONDS = 2.0
_HOLDERS_SHOWN = 5
_FRAMES_SHOWN = 4
_BARS = "▁▂▃▄▅▆▇█"


@app.command()
def pool(
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C, looking every two seconds.")] = False,
    minutes: Annotated[int, typer.Option(min=1, max=14 * 24 * 60, help="How far to look back.")] = 60,
) -> None:
    """Show every process's connection pool, and what to change; exit 1 where something is to be changed.

    Example: opsbook db pool --watch
    """
    _warn_of_pooler(_recognised(settings().url_of("ops")))
    pooler = _recognised(settings().url_of("service"))
    found = _look(minutes, pooler)
    if as_json:
        print_json(found)
    elif watch:
        _watch(found, minutes, pooler)
    else:
        out.print(_page(found))
    if found.advice:
        raise typer.Exit(1)


def _warn_of_pooler(pooler: Pooler | None) -> None:
    """Before anything is asked of the ops database: behind PgBouncer it may well not answer."""
    if pooler and pooler.mode is Mode.TRANSACTION:
        err.print(
            f"OPSBOOK_DATABASE_URL leads to {pooler}: levers will not be heard of in time, or not work at all;"
            " let it lead to the server itself, or to a pooler in session mode",
            style="bold red",
            soft_wrap=True,
        )


def _recognised(url: str | None) -> Pooler | None:
    try:
        return run(recognise(url)) if url else None
    except Unavailable:
        # Whoever does not answer is told of by what asks them next.
        return None


def _look(minutes: int, pooler: Pooler | None) -> PoolOverview:
    service = run(service_database(settings().url_of("service"), pooler))

    async def looking(connection: Connection) -> PoolOverview:
        return await pool_overview(connection, service, timedelta(minutes=minutes))

    return read(looking)


def _watch(found: PoolOverview, minutes: int, pooler: Pooler | None) -> None:
    with Live(_page(found), console=out, auto_refresh=False) as display:
        try:
            while True:
                display.update(_page(_look(minutes, pooler)), refresh=True)
                time.sleep(_WATCH_SECONDS)
        except KeyboardInterrupt:
            return


def _page(found: PoolOverview) -> RenderableType:
    if not found.processes:
        return Text(
            "No process reports a pool: give yours to `opsbook.install(app, pool=engine)`, and start the service."
        )
    parts: list[RenderableType] = [_processes(found.processes), *_saturation(found.saturation)]
    parts += [*_holders(found.processes), *_server(found.server, found.pooler)]
    advice = [Text(f"→ {advice.text}", "yellow") for advice in found.advice]
    return Group(*parts, Text(), *(advice or [Text("Nothing to change.", "green")]))


def _processes(pools: Sequence[ProcessPool]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("process", "database"):
        table.add_column(column, overflow="fold")
    for column in (
        "out",
        "of",
        "waiting",
        "asked /s",
        "load",
        "refused",
        "wait p50",
        "p95",
        "p99",
        "held p50",
        "p95",
        "age",
    ):
        table.add_column(column, justify="right")
    for each in pools:
        table.add_row(
            Text(f"{each.name}{' (gone)' if each.gone else ''}", "dim" if each.gone else ""),
            cell(each.database),
            str(each.checked_out),
            cell(each.capacity),
            str(each.waiting),
            f"{each.arrivals_per_second:.1f}",
            f"{each.load:.1f}",
            str(each.timeouts),
            *_durations(each.waits),
            *_durations(each.holds)[:2],
            f"{each.age_seconds:.0f} s",
        )
    return table


def _durations(durations: Durations) -> list[str]:
    return [_duration(seconds) for seconds in (durations.p50, durations.p95, durations.p99)]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"


def _saturation(moments: Sequence[Moment]) -> Iterator[RenderableType]:
    """One line a database: each character is a sixtieth of the period, the fullest at the pools' capacity."""
    for database in sorted({moment.database for moment in moments}):
        here = [moment for moment in moments if moment.database == database]
        top = max(max(moment.capacity or 0, moment.checked_out) for moment in here)
        line = "".join(_BARS[round((len(_BARS) - 1) * moment.checked_out / max(1, top))] for moment in here)
        most = max(moment.checked_out for moment in here)
        yield Text(f"\nin use on {database}: {line}  at most {most} of {top}")


def _holders(pools: Sequence[ProcessPool]) -> Iterator[RenderableType]:
    held = [(pool, holder) for pool in pools if not pool.gone for holder in pool.holders]
    ended = [(pool, pool.longest_hold) for pool in pools if pool.longest_hold and not pool.holders]
    for title, found in (("longest holders now", held), ("longest in the period", ended)):
        if found:
            yield Text(f"\n{title}", "bold")
        for pool, holder in sorted(found, key=lambda each: -each[1].held_seconds)[:_HOLDERS_SHOWN]:
            yield Text(_holder(pool, holder))


def _holder(pool: ProcessPool, holder: Holder) -> str:
    where = "\n".join(f"          {frame}" for frame in holder.stack[:_FRAMES_SHOWN])
    return f"{_duration(holder.held_seconds):>8}  {pool.name}" + (f"\n{where}" if where else "")


def _server(server: Server | None, pooler: Pooler | None) -> Iterator[RenderableType]:
    if pooler:
        yield Text(f"\nbehind {pooler}")
        if pooler.mode is Mode.TRANSACTION:
            yield Text(f"not to be used there: {', '.join(BROKEN_BY_TRANSACTION_MODE)}", "yellow")
    if server:
        of = f"{server.used} of {server.max_connections} used, {server.reserved} reserved"
        names = ", ".join(f"{each.application} {each.connections}" for each in server.applications)
        yield Text(f"\nserver: {of}\n  {names}")
