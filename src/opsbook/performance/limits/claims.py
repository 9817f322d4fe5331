"""What a request claims: for each policy that covers it, whom it counts against and for how much."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from starlette.types import Scope

from opsbook.core.http.client_address import TrustedProxies, limit_key
from opsbook.performance.limits.decision import Claim
from opsbook.performance.limits.policy import RateLimit, credential_of, user_of
from opsbook.performance.limits.terms import Terms

_LONGEST_KEY = 200
"""A longer one is kept by its hash: a caller may choose it, and a hundred thousand of them are to fit into memory."""


def claims_of(
    scope: Scope, policies: Sequence[RateLimit], terms: Mapping[str, Terms], proxies: TrustedProxies
) -> tuple[list[Claim], list[Claim]]:
    """A request's claims on policies that are enforced, and on those that are observed."""
    addresses = proxies.claimed_addresses(scope)
    enforced: list[Claim] = []
    observed: list[Claim] = []
    for policy in policies:
        in_force = terms[policy.name]
        if in_force.mode == "off" or not policy.covers(scope):
            continue
        claim = _claim(scope, policy, in_force, addresses)
        if claim is not None:
            (enforced if in_force.mode == "enforce" else observed).append(claim)
    return enforced, observed


def _claim(scope: Scope, policy: RateLimit, terms: Terms, addresses: Sequence[str]) -> Claim | None:
    # The last is the peer's where two headers disagree, and else the caller's.
    key = _key(scope, policy, limit_key(addresses[-1]))
    # Of a caller that may be several, each is to be exempt: a forged header would make it its own proxy.
    if key is None or (policy.exempt and policy.is_exempt(key, addresses)):
        return None
    cost = policy.cost if isinstance(policy.cost, int) else policy.cost(scope)
    return Claim(policy.name, _bounded(key), cost, terms.windows) if cost > 0 else None


def _key(scope: Scope, policy: RateLimit, address: str) -> str | None:
    match policy.key:
        case "client_address":
            return address
        case "user":
            user = user_of(scope)
            return f"user {user}" if user else address  # whoever calls himself 192.0.2.7 is not that address
        case "api_key":
            credential = credential_of(scope)
            return f"key {_digest(credential)}" if credential else address
        case "route":
            return getattr(scope.get("route"), "path", None) or scope["path"]
        case function:
            return function(scope)


def _bounded(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else f"{key[: _LONGEST_KEY // 2]}… {_digest(key)}"


def _digest(text: str) -> str:
    """A fingerprint; for a credential, which never stands in tables and on pages itself."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
