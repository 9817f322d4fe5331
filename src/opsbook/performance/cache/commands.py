"""`opsbook cache`: what it does for each function, and the lever that has it forget."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from opsbook.core import console
from opsbook.core.console import DryRunOption, JsonOption, ReasonOption, YesOption, confirm, out
from opsbook.core.ops_database import act, read
from opsbook.core.redis_link import RedisAway, link_of
from opsbook.performance.cache import store
from opsbook.performance.cache.names import Names
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.shared_purges import purge_shared_once
from opsbook.performance.cache.steps import carry_out
from opsbook.performance.cache.wording import in_words, purge_from

app = typer.Typer(add_completion=False, no_args_is_help=True, help="See what the cache does; have it forget.")


@app.command()
def stats(
    hours: Annotated[int, typer.Option(min=1, max=24 * 31, help="Of how many hours.")] = 24,
    as_json: JsonOption = False,
) -> None:
    """Show what the cache did for each function in all processes.

    Example: opsbook cache stats --hours 1
    """
    rows = read(lambda connection: store.statistics(connection, timedelta(hours=hours)))
    if as_json:
        derived = ({"hit_rate": each.hit_rate, "seconds_saved": each.seconds_saved} for each in rows)
        console.print_json([{**asdict(each), **more} for each, more in zip(rows, derived, strict=True)])
        return
    console.print_table(
        ("function", "hits", "from Redis", "stale", "misses", "waits", "hit rate", "saved", "entries", "KiB"),
        [
            (
                each.function,
                each.hits,
                each.shared_hits,
                each.stale,
                each.misses,
                each.waits,
                f"{each.hit_rate:.1%}",
                f"{each.seconds_saved:.1f} s",
                each.entries,
                each.bytes // 1024,
            )
            for each in rows
        ],
        "No cached function was called. To cache one: @opsbook.cached(ttl=300)",
    )


@app.command()
def purge(
    function: Annotated[str | None, typer.Option(help="Of this function, as `opsbook cache stats` names it.")] = None,
    key: Annotated[str | None, typer.Option(help="Of it only this call: its arguments, as '[\"42\", true]'.")] = None,
    tag: Annotated[str | None, typer.Option(help="With this tag.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Have every process forget cached results; they are computed again when asked for.

    Example: opsbook cache purge --tag user:42 --reason "name corrected" --yes
    """
    wanted = purge_from(everything=everything, function=function, tag=tag, key=key)
    if dry_run:
        out.print(f"would forget {in_words(wanted)}", markup=False)
        return
    confirm(f"Forget {in_words(wanted)}", yes=yes)
    revision = act(reason, lambda connection: store.purge(connection, wanted))
    _tell_redis(wanted, revision)
    if as_json:
        console.print_json({"purged": in_words(wanted), "revision": revision})
        return
    out.print(f"forgotten: {in_words(wanted)}", markup=False)


def _tell_redis(purge: Purge, revision: int) -> None:
    """Straight from here, so that it holds also where no process follows the ops database."""
    settings = console.settings()
    link = link_of(settings)
    if link is None:
        return
    try:
        carry_out(purge_shared_once(link, Names(settings.environment), purge, revision, sender=""), lambda: None)
    except RedisAway as error:
        console.err.print(f"Redis was not told ({error}); processes that follow the ops database will", markup=False)
