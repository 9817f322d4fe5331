"""Vercel's firewall, by its REST API: `ip.insert` and `ip.remove` on a project's active configuration.

https://vercel.com/docs/rest-api/security/update-firewall-configuration; a rule with the hostname `*` holds for every
domain of the project. Our rules are known by the beginning of their notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import httpx
import msgspec

from opsbook.performance.blocks.firewalls.interface import Firewall, FirewallRefused, FirewallRule

_ADDRESS = "https://api.vercel.com"
_CONFIG = "/v1/security/firewall/config"
_OURS = "opsbook: "
_LONGEST_NOTES = 200
_PATIENCE_SECONDS = 10.0


class _Rule(msgspec.Struct):
    id: str
    ip: str
    notes: str | None = None


class _Config(msgspec.Struct):
    ips: list[_Rule] = msgspec.field(default_factory=list[_Rule])


class VercelFirewall(Firewall):
    """The firewall of one Vercel project."""

    name = "vercel"
    most_rules = 100
    """Of the Pro plan; an account that has fewer says so, and the error is shown."""

    def __init__(self, token: str, project_id: str, team_id: str | None = None, address: str = _ADDRESS) -> None:
        """Speak for the account that the token belongs to, or for one of its teams."""
        self._token = token
        self._place = {"projectId": project_id, **({"teamId": team_id} if team_id else {})}
        self._address = address

    async def obey(self, rules: Sequence[FirewallRule]) -> None:
        wanted = {_plain(rule.network): rule for rule in rules}
        headers = {"Authorization": f"Bearer {self._token}"}
        async with httpx.AsyncClient(
            base_url=self._address, params=self._place, headers=headers, timeout=_PATIENCE_SECONDS
        ) as client:
            ours = [rule for rule in await _active(client) if (rule.notes or "").startswith(_OURS)]
            held = {_plain(rule.ip) for rule in ours}
            # First what is lifted: there is room for only so many.
            for rule in ours:
                if _plain(rule.ip) not in wanted:
                    await _ask(client, "PATCH", _CONFIG, {"action": "ip.remove", "id": rule.id, "value": None})
            for network, rule in wanted.items():
                if network not in held:
                    await _ask(client, "PATCH", _CONFIG, _insertion(network, rule.reason))


async def _active(client: httpx.AsyncClient) -> Sequence[_Rule]:
    answer = await _ask(client, "GET", f"{_CONFIG}/active", None, missing_is_fine=True)
    if answer.status_code == 404:
        return ()  # a project whose firewall nobody has configured yet
    try:
        return msgspec.json.decode(answer.content, type=_Config).ips
    except msgspec.DecodeError as error:
        raise FirewallRefused(f"Vercel's firewall answered something else than its configuration: {error}") from error


def _insertion(network: str, reason: str) -> dict[str, Any]:
    notes = f"{_OURS}{reason}"[:_LONGEST_NOTES]
    return {
        "action": "ip.insert",
        "id": None,
        "value": {"action": "deny", "hostname": "*", "ip": network, "notes": notes},
    }


async def _ask(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, *, missing_is_fine: bool = False
) -> httpx.Response:
    try:
        answer = await client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise FirewallRefused(f"Vercel does not answer: {type(error).__name__}") from error
    if answer.is_success or (missing_is_fine and answer.status_code == 404):
        return answer
    raise FirewallRefused(f"Vercel answered {answer.status_code}: {answer.text[:300]}")


def _plain(network: str) -> str:
    """In one spelling: a single address without its prefix length."""
    try:
        parsed = ip_network(network, strict=False)
    except ValueError:
        return network
    return str(parsed.network_address) if parsed.num_addresses == 1 else str(parsed)
