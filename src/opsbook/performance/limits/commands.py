"""`opsbook limits`: what is limited, who is near, and other limits for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from opsbook.core.console import (
    DryRunOption,
    JsonOption,
    ReasonOption,
    YesOption,
    confirm,
    err,
    out,
    parse_duration,
    print_json,
    print_table,
)
from opsbook.core.errors import Invalid
from opsbook.core.ops_database import act, read
from opsbook.core.postgres.connect import Connection
from opsbook.performance.limits import store
from opsbook.performance.limits.policy import MOST
from opsbook.performance.limits.store import Limit
from opsbook.performance.limits.wording import reach, state, told

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Show and adjust how often callers may ask.")

Policy = Annotated[str, typer.Argument(help="The rate limit's name.")]


def _limit_option(span: str) -> Any:
    return typer.Option(f"--per-{span}", min=1, max=MOST, help=f"At most so many in any {span}.")


@app.command()
def show(
    policy: Annotated[str | None, typer.Argument(help="One, with who was refused; left out, all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is limited, how much was refused lately, and where it is counted.

    Example: opsbook limits show default
    """
    if policy is not None:
        _show_one(policy, as_json)
        return
    limits = read(store.list_limits)
    if as_json:
        print_json([limit.as_dict() for limit in limits])
        return
    print_table(
        ("policy", "in force", "state", "admitted", "refused", "processes"),
        [(a.policy, told(a.in_force), state(a), a.admitted, a.refused, a.processes) for a in limits],
        "No service has declared a rate limit yet: opsbook.install(app, limits=[RateLimit(...)])",
    )
    _warn(limits)


@app.command("set")
def set_(
    policy: Policy,
    per_second: Annotated[int | None, _limit_option("second")] = None,
    per_minute: Annotated[int | None, _limit_option("minute")] = None,
    per_hour: Annotated[int | None, _limit_option("hour")] = None,
    per_day: Annotated[int | None, _limit_option("day")] = None,
    mode: Annotated[
        Literal["enforce", "observe", "off"] | None,
        typer.Option(help="`observe` counts and refuses nobody; `off` does not even count."),
    ] = None,
    for_: Annotated[str | None, typer.Option("--for", help="How long, as 2h; left out, until reset.")] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Have another limit in force; every worker obeys within a quarter of a second.

    Example: opsbook limits set default --per-minute 30 --for 2h --reason "scrapers" --yes
    """
    limits = {"per_second": per_second, "per_minute": per_minute, "per_hour": per_hour, "per_day": per_day}
    given: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    if mode is not None:
        given["mode"] = mode
    if not given:
        raise Invalid("nothing to change was given; see `opsbook limits set --help`")
    until = datetime.now(UTC) + parse_duration(for_) if for_ else None
    found = read(lambda connection: store.get_limit(connection, policy))
    what = _change(found, given, until)
    if dry_run:
        out.print(f"would set {what}; {reach(found)}", markup=False, soft_wrap=True)
        return
    confirm(f"Set {what}; {reach(found)}", yes=yes)
    _print(act(reason, lambda c: store.set_limit(c, policy, given, until=until, reason=reason)), as_json)


@app.command()
def reset(
    policy: Policy,
    reason: ReasonOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go back to what the service's code declares.

    Example: opsbook limits reset default --yes
    """
    found = read(lambda connection: store.get_limit(connection, policy))
    what = f"{policy} back to {told(found.declared)}"
    if dry_run:
        out.print(f"would set {what}; {reach(found)}", markup=False, soft_wrap=True)
        return
    confirm(f"Set {what}; {reach(found)}", yes=yes)
    _print(act(reason, lambda connection: store.reset_limit(connection, policy)), as_json)


def _show_one(policy: str, as_json: bool) -> None:
    async def reading(connection: Connection) -> tuple[Limit, Any, Any]:
        limit = await store.get_limit(connection, policy)
        return limit, await store.refused_keys(connection, policy), await store.near_keys(connection, policy)

    limit, refused, near = read(reading)
    if as_json:
        print_json({**limit.as_dict(), "refused_keys": refused, "near_keys": near})
        return
    _print(limit, as_json=False)
    out.print(f"declared: {told(limit.declared)}, by {limit.key or 'nobody'}", markup=False)
    out.print(reach(limit), markup=False)
    if limit.reason:
        out.print(f"because: {limit.reason} ({limit.updated_by})", markup=False)
    _warn([limit])
    print_table(("refused in the last hour", "times"), [(r["key"], r["refused"]) for r in refused], "Nobody refused.")
    rows = [(r["key"], f"{r['used']:.0%} of the limit") for r in near]
    print_table(("nearest now", "used"), rows, "Nobody is near the limit.")


def _change(found: Limit, given: dict[str, Any], until: datetime | None) -> str:
    limits = {name: value for name, value in given.items() if name != "mode"}
    parts = [f"{told(limits)} instead of {told(found.in_force)}"] if limits else []
    parts += [f"mode {given['mode']} instead of {found.mode}"] if "mode" in given else []
    end = f"until {until.astimezone():%Y-%m-%d %H:%M}" if until else "until it is reset"
    return f"{found.policy} to {' and '.join(parts)}, {end}"


def _print(limit: Limit, as_json: bool) -> None:
    if as_json:
        print_json(limit.as_dict())
        return
    out.print(f"{limit.policy}: {told(limit.in_force)}; {state(limit)}", markup=False)


def _warn(limits: Any) -> None:
    for limit in limits:
        if limit.warning:
            err.print(f"{limit.policy}: {limit.warning}", markup=False)
