"""`opsbook block`: refuse networks, list what is refused, lift it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from opsbook.core import console
from opsbook.core.console import DryRunOption, JsonOption, ReasonOption, YesOption, confirm, out
from opsbook.core.errors import Invalid
from opsbook.core.http.client_address import TrustedProxies, plain_address
from opsbook.core.ops_database import act, read
from opsbook.core.postgres.connect import Connection
from opsbook.performance.blocks import store
from opsbook.performance.blocks.guard import Network, read_networks

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Refuse requests by address.")

Networks = Annotated[list[str] | None, typer.Argument(help="As 203.0.113.0/24, 203.0.113.7 or 2001:db8::/48.")]
ListOption = Annotated[
    Path | None,
    typer.Option(
        "--file", help="Networks, one a line; # and ; begin a comment. `-` is standard input.", allow_dash=True
    ),
]


@app.command()
def add(
    networks: Networks = None,
    for_: Annotated[str | None, typer.Option("--for", help="How long, as 2h or 7d; left out, until removed.")] = None,
    file: ListOption = None,
    even_mine: Annotated[
        bool, typer.Option("--even-mine", help="Also if that locks out an operator, this machine or a proxy.")
    ] = False,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Block networks; every worker obeys within a quarter of a second.

    Example: opsbook block add 203.0.113.0/24 --for 2h --reason "scrapes the catalogue"
    """
    given = _given(networks, file)
    end = datetime.now(UTC) + console.parse_duration(for_) if for_ else None
    overlaps = read(lambda connection: _checked(connection, given, even_mine=even_mine))
    for overlap in overlaps:
        relation = "lies within" if overlap.is_around else "contains"
        console.err.print(f"{overlap.given} {relation} {overlap.network}, which is blocked", markup=False)
    what = f"{_told(given)} {f'until {end.astimezone():%Y-%m-%d %H:%M}' if end else 'until removed'}"
    if dry_run:
        out.print(f"would block {what}", markup=False)
        return
    confirm(f"Block {what}", yes=yes)
    done = act(reason, lambda connection: store.add(connection, given, reason=reason or "", expires_at=end))
    if as_json:
        console.print_json(asdict(done))
        return
    known = f"; {done.changed} changed, {done.unchanged} as before" if done.changed or done.unchanged else ""
    out.print(f"blocked {done.added} networks{known}", markup=False)


@app.command("list")
def list_(
    address: Annotated[str | None, typer.Option(help="Only blocks around this address.")] = None,
    text: Annotated[str | None, typer.Option(help="Only blocks with this in their network or reason.")] = None,
    after: Annotated[str | None, typer.Option(help="The last network of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List the blocked networks, with what each has refused.

    Example: opsbook block list --address 203.0.113.7
    """
    around = plain_address(address) if address else None
    if address and not around:
        raise Invalid(f"{address!r} is no IP address")
    page_after = str(read_networks([after])[0]) if after else None
    rows = read(lambda c: store.list_blocks(c, after=page_after, address=around, text=text, limit=limit))
    if as_json:
        console.print_json(rows)
        return
    console.print_table(
        ("network", "until", "refused", "last", "by", "why"),
        [
            (r["network"], r["expires_at"] or "removed", r["hits"], r["last_hit_at"], r["created_by"], r["reason"])
            for r in rows
        ],
        "Nothing is blocked here. To block: opsbook block add 203.0.113.0/24 --for 2h",
    )


@app.command()
def remove(
    networks: Networks = None,
    file: ListOption = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Lift blocks.

    Example: opsbook block remove 203.0.113.0/24 --reason "it was a customer" --yes
    """
    given = _given(networks, file)
    if dry_run:
        out.print(f"would lift the block of {_told(given)}", markup=False)
        return
    confirm(f"Lift the block of {_told(given)}", yes=yes)
    removed = act(reason, lambda connection: store.remove(connection, given))
    if as_json:
        console.print_json({"removed": removed})
        return
    out.print(f"lifted {removed} blocks", markup=False)


async def _checked(connection: Connection, networks: Sequence[Network], *, even_mine: bool) -> Sequence[store.Overlap]:
    if not even_mine:
        proxies = TrustedProxies.parse(console.settings().trusted_proxies)
        await store.check_harmless(connection, networks, _own_addresses(), proxies, hint="add --even-mine")
    return await store.overlaps(connection, networks)


def _own_addresses() -> Sequence[str]:
    """Where the person at this shell sits, as sshd tells it."""
    told = (os.environ.get(variable, "").split() for variable in ("SSH_CONNECTION", "SSH_CLIENT"))
    return [words[0] for words in told if words]


def _given(networks: Sequence[str] | None, file: Path | None) -> Sequence[Network]:
    lines = list(networks or ())
    if file is not None:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{file} cannot be read: {error}") from error
        lines += text.splitlines()
    return read_networks(lines)


def _told(networks: Sequence[Network]) -> str:
    return str(networks[0]) if len(networks) == 1 else f"{len(networks):,} networks, from {networks[0]} on"
