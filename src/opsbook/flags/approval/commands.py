"""`opsbook flags requests|approve|reject`: the second person's hand."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from opsbook.core.console import JsonOption, ReasonOption, YesOption, confirm, out, print_json, print_table
from opsbook.core.ops_database import act, read
from opsbook.flags.approval import store
from opsbook.flags.commands.shared import print_flag

app = typer.Typer()

Number = Annotated[int, typer.Argument(help="The request's number.", min=1)]


@app.command()
def requests(
    flag: Annotated[str | None, typer.Argument(help="Of this flag; left out, of all.")] = None,
    decided: Annotated[bool, typer.Option("--decided", help="Decided and expired ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List changes that wait for a second person; what nobody decides on expires after a week.

    Example: opsbook flags requests
    """
    rows = read(lambda connection: store.list_requests(connection, flag, decided=decided))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("number", "flag", "change", "asked by", "when", "reason", "status", "expires"),
        [
            (
                r["id"],
                r["flag"],
                orjson.dumps(r["fields"]).decode(),
                r["made_by"],
                r["made_at"],
                r["reason"],
                r["status"],
                r["expires_at"],
            )
            for r in rows
        ],
        "Nothing waits for a second person.",
    )


@app.command()
def approve(request: Number, reason: ReasonOption = None, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Make a change that another person asked for.

    Example: opsbook flags approve 7 --yes
    """
    confirm(f"Approve request {request}", yes=yes)
    print_flag(act(reason, lambda connection: store.approve(connection, request)), as_json)


@app.command()
def reject(request: Number, reason: ReasonOption = None, yes: YesOption = False) -> None:
    """Decide that a change is not made; of your own, take it back.

    Example: opsbook flags reject 7 --yes --reason "not before the holidays"
    """
    confirm(f"Reject request {request}", yes=yes)
    act(reason, lambda connection: store.reject(connection, request))
    out.print(f"rejected request {request}", markup=False)
