"""The command line of tokens, the audit trail and sign-in links."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from opsbook.access.export import export
from opsbook.core import audit, console
from opsbook.core.access import Role, RoleName, store
from opsbook.core.access.identity import host_identity
from opsbook.core.access.links import create_sign_in_link
from opsbook.core.audit import AuditFilter
from opsbook.core.console import (
    DryRunOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    out,
    parse_duration,
    print_json,
)
from opsbook.core.ops_database import act, read
from opsbook.core.postgres.connect import Connection
from opsbook.core.postgres.home import Home, running_at

token_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, list and revoke API tokens.")
audit_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Read, verify and export the audit trail.")


class Format(StrEnum):
    """A file format of the export."""

    JSONL = "jsonl"
    CSV = "csv"


ActorOption = Annotated[str | None, typer.Option(help="Only what this one did.")]
ActionOption = Annotated[str | None, typer.Option(help="Only this, such as flag.change.")]
TargetOption = Annotated[str | None, typer.Option(help="Only what was done to this, such as a flag's name.")]
SinceOption = Annotated[str | None, typer.Option(help="Only of the last 90s, 15m, 2h, 7d …")]


@token_app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    role: Annotated[RoleName, typer.Option(help="What it may do.")] = "viewer",
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="Such as flags:read; several may be given. [default: *]")
    ] = None,
    expires: Annotated[str | None, typer.Option("--for", help="How long it lives, such as 90d.")] = None,
    reason: ReasonOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make an API token; its text is shown once.

    Example: opsbook token create web-frontend --scope flags:read --for 90d
    """
    lifetime = parse_duration(expires) if expires else None
    if dry_run:
        store.check_grant(host_identity(), Role.parse(role), scope or ["*"])
        wanted = {"name": name, "role": role, "scopes": scope or ["*"], "lifetime": expires}
        if as_json:
            print_json({"would_create": wanted})
        else:
            out.print(f"would make a token: {wanted}", markup=False)
        return
    made = act(
        reason,
        lambda connection: store.create_token(
            connection,
            name,
            Role.parse(role),
            by=host_identity(),
            scopes=scope or ["*"],
            lifetime=lifetime,
        ),
    )
    if as_json:
        print_json({**made.row, "token": made.secret})
        return
    typer.echo(made.secret)
    console.err.print("Keep it now: only its hash is stored.")


@token_app.command("list")
def list_tokens(as_json: JsonOption = False) -> None:
    """List the API tokens, live ones first.

    Example: opsbook token list
    """
    rows = read(store.list_tokens)
    if as_json:
        print_json(rows)
        return
    console.print_table(
        ("id", "name", "token", "role", "scopes", "live", "expires", "last used"),
        [
            (r["id"], r["name"], f"{r['hint']}…", r["role"], r["scopes"], r["live"], r["expires_at"], r["last_used_at"])
            for r in rows
        ],
        "No tokens yet. Make one: opsbook token create web-frontend --scope flags:read",
    )


@token_app.command("revoke")
def revoke_token(
    which: Annotated[str, typer.Argument(help="Its id or name.")],
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Revoke an API token, or all of one name, at once and for good.

    Example: opsbook token revoke web-frontend --yes
    """
    found = read(lambda connection: store.live_tokens_called(connection, which))
    named = ", ".join(f"{row['name']} ({row['hint']}…, id {row['id']})" for row in found)

    async def revoke_all(connection: Connection) -> None:
        for row in found:
            await store.revoke_token(connection, row["id"])

    if not dry_run:
        confirm(f"Revoke {named}", yes=yes)
        act(reason, revoke_all)
    if as_json:
        print_json({"revoked": not dry_run, "tokens": found})
    else:
        out.print(f"{'would revoke' if dry_run else 'revoked'} {named}", markup=False)


@audit_app.command("tail")
def tail(
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, max=1000)] = 20,
    actor: ActorOption = None,
    action: ActionOption = None,
    target: TargetOption = None,
    since: SinceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest records.

    Example: opsbook audit tail --since 1h
    """
    wanted = AuditFilter(actor=actor, action=action, target=target, since=_ago(since), limit=lines)
    rows = list(reversed(read(lambda connection: audit.search(connection, wanted))))
    if as_json:
        print_json(rows)
        return
    console.print_table(
        ("when", "who", "did", "to", "from", "reason"),
        [(r["created_at"], r["actor"], r["action"], r["target"], r["ip"], r["reason"]) for r in rows],
        "Nothing on record yet. Change something: opsbook flags create new-checkout",
    )


@audit_app.command("verify")
def verify(
    head: Annotated[
        str | None, typer.Option(help="POSITION:HASH of an earlier verification, kept elsewhere; it must still stand.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Seal what is new and recompute every seal; exit 1 where one does not fit.

    Whoever owns the tables can compute all seals anew: keep the head that is printed somewhere else.

    Example: opsbook audit verify
    """
    kept = audit.Seal.parse(head) if head else None

    async def check(connection: Connection) -> audit.Verification:
        while await audit.seal(connection):
            pass
        return await audit.verify(lambda: nullcontext(connection), kept)

    found = read(check)
    if as_json:
        print_json(
            {
                "intact": found.intact,
                "sealed": found.sealed,
                "unsealed": found.unsealed,
                "head": str(found.head) if found.head else None,
                "broken": list(found.broken),
            }
        )
    elif found.intact:
        out.print(f"intact: {found.sealed:,} records sealed, {found.unsealed:,} not; head {found.head}", soft_wrap=True)
    else:
        console.print_table(
            ("position", "record", "problem"), [(b["position"], b["audit_id"], b["problem"]) for b in found.broken], ""
        )
    if not found.intact:
        raise typer.Exit(1)


@audit_app.command("export")
def export_records(
    file_format: Annotated[Format, typer.Option("--format", help="jsonl or csv.")] = Format.JSONL,
    actor: ActorOption = None,
    action: ActionOption = None,
    target: TargetOption = None,
    since: SinceOption = None,
) -> None:
    """Write the records to standard output, newest first.

    Example: opsbook audit export --since 30d --format csv > audit.csv
    """
    wanted = AuditFilter(actor=actor, action=action, target=target, since=_ago(since))

    async def write(connection: Connection) -> None:
        async for part in export(
            lambda: nullcontext(connection), wanted, "csv" if file_format is Format.CSV else "jsonl"
        ):
            sys.stdout.buffer.write(part)

    read(write)


def link(as_json: JsonOption = False) -> None:
    """Print a one-time sign-in link for the owner, good for 15 minutes.

    Example: opsbook link
    """
    settings = console.settings()
    address = settings.url or running_at(Home(settings.home)).get("url") or "http://127.0.0.1:8000"
    found = f"{address}/ops/sign-in?link={create_sign_in_link(settings.require_url('ops'))}"
    if as_json:
        print_json({"link": found})
    else:
        typer.echo(found)


def _ago(since: str | None) -> datetime | None:
    return datetime.now(UTC) - parse_duration(since) if since else None
