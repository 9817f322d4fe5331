"""Has the configured firewall refuse what is blocked here, and notes what came of it."""

from __future__ import annotations

from opsbook.core.log import get_logger
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.core.settings import Settings
from opsbook.performance.blocks.firewalls.interface import Firewall, FirewallRefused, FirewallRule
from opsbook.performance.blocks.firewalls.vercel import VercelFirewall

_QUERIES = load_queries("opsbook.performance.blocks")

log = get_logger(__name__)


def configured_firewall(settings: Settings) -> Firewall | None:
    """The firewall that the settings name, or None."""
    if settings.vercel_token is None or settings.vercel_project_id is None:
        return None
    return VercelFirewall(settings.vercel_token.get_secret_value(), settings.vercel_project_id, settings.vercel_team_id)


async def push_blocks(connection: Connection, settings: Settings) -> None:
    """Tell the configured firewall, if there is one and it has not been told yet of what is blocked."""
    firewall = configured_firewall(settings)
    if firewall is not None:
        await push(connection, firewall)


async def push(connection: Connection, firewall: Firewall) -> None:
    """Have a firewall refuse the newest blocks, as many as it takes, unless that is what it was told last.

    Does nothing while another connection is at it: of a slow firewall two would take the same blocks for missing.
    """
    turn = await (await connection.execute(_QUERIES["take_push_turn"], {"firewall": firewall.name})).fetchone()
    assert turn is not None
    if not turn["is_ours"]:
        return
    told = await (await connection.execute(_QUERIES["is_told"], {"firewall": firewall.name})).fetchone()
    assert told is not None
    if told["is_told"]:
        return
    wanted = await (await connection.execute(_QUERIES["to_push"], {"limit": firewall.most_rules})).fetchone()
    assert wanted is not None
    error: str | None = None
    try:
        await firewall.obey([FirewallRule(**rule) for rule in wanted["rules"]])
    except FirewallRefused as refused:
        error = str(refused)
        log.warning("firewall_refused", firewall=firewall.name, error=error)
    outcome = {
        "firewall": firewall.name,
        "revision": wanted["revision"],
        "networks": len(wanted["rules"]),
        "left_out": wanted["left_out"],
        "error": error,
    }
    await connection.execute(_QUERIES["note_push"], outcome)
