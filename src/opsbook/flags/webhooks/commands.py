"""`opsbook flags webhook`: who is told of changes, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from opsbook.core.access.identity import host_identity
from opsbook.core.console import (
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    out,
    print_json,
    print_table,
    run,
    settings,
)
from opsbook.core.ops_database import act, read
from opsbook.core.postgres.connect import connect
from opsbook.flags.webhooks import store

app = typer.Typer(no_args_is_help=True, help="Tell others of changes by signed JSON.")

Number = Annotated[int, typer.Argument(help="The webhook's number.", min=1)]


@app.command("list")
def list_webhooks(as_json: JsonOption = False) -> None:
    """List the webhooks.

    Example: opsbook flags webhook list
    """
    rows = read(store.list_webhooks)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("number", "address", "topics", "waiting", "delivered", "given up"),
        [(r["id"], r["url"], r["topics"], r["waiting"], r["delivered"], r["given_up"]) for r in rows],
        "No webhooks. Add one: opsbook flags webhook add https://example.com/hook",
    )


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where to post: http:// or https://, on the public internet.")],
    topic: Annotated[list[str] | None, typer.Option(help="flags or segments; may be given twice.")] = None,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have changes posted to an address; prints the secret that signs them, this once.

    Example: opsbook flags webhook add https://example.com/hook --topic flags
    """
    number, secret = act(reason, lambda connection: store.add_webhook(connection, url, topic or ["flags"]))
    if as_json:
        print_json({"id": number, "secret": secret})
        return
    out.print(f"webhook {number}; the receiver checks the signature with this secret, shown this once:", markup=False)
    out.print(secret, markup=False)


@app.command()
def remove(webhook: Number, reason: ReasonOption = None, yes: YesOption = False) -> None:
    """Tell it nothing more, and forget its deliveries.

    Example: opsbook flags webhook remove 2 --yes
    """
    confirm(f"Remove webhook {webhook}", yes=yes)
    act(reason, lambda connection: store.remove_webhook(connection, webhook))
    out.print(f"removed webhook {webhook}", markup=False)


@app.command("test")
def send_test(webhook: Number, as_json: JsonOption = False) -> None:
    """Post a notice of topic `test` now, and say what came of it; exit 1 where it did not arrive.

    Example: opsbook flags webhook test 2
    """
    known = settings()
    connecting = partial(connect, known.require_url("ops"), "opsbook cli")
    answer = run(store.send_test(connecting, host_identity(), webhook, loopback=known.webhooks_to_loopback))
    if as_json:
        print_json({**asdict(answer), "delivered": answer.is_delivered})
    else:
        out.print(answer.in_words, markup=False)
    if not answer.is_delivered:
        raise typer.Exit(1)


@app.command()
def attempts(webhook: Number, as_json: JsonOption = False) -> None:
    """Show what came of the newest notices.

    Example: opsbook flags webhook attempts 2
    """
    rows = read(lambda connection: store.attempts(connection, webhook))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("flag", "revision", "attempt", "when", "answer", "ms", "next"),
        [
            (
                r["name"],
                r["revision"],
                r["attempt"],
                r["at"],
                r["status"] or r["error"],
                r["milliseconds"],
                r["next_at"],
            )
            for r in rows
        ],
        "Nothing was to be told yet.",
    )
