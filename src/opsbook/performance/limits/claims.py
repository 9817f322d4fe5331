"""What a request claims: for each policy that covers it, whom it counts against and for how much."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from starlette.types import Scope

from opsbook.core.http.client_address import TrustedProxies, limit_key
from opsbook.performance.limits.decision import Claim
from opsbook.performance.limits.policy import RateLimit, credential_of, user_of
from opsbook.performance.limits.terms import Terms


def claims_of(
    scope: Scope, policies: Sequence[RateLimit], terms: Mapping[str, Terms], proxies: TrustedProxies
) -> tuple[list[Claim], list[Claim]]:
    """A request's claims on policies that are enforced, and on those that are observed."""
    address = limit_key(proxies.client_address(scope))
    enforced: list[Claim] = []
    observed: list[Claim] = []
    for policy in policies:
        in_force = terms[policy.name]
        if in_force.mode == "off" or not policy.covers(scope):
            continue
        claim = _claim(scope, policy, in_force, address)
        if claim is not None:
            (enforced if in_force.mode == "enforce" else observed).append(claim)
    return enforced, observed


def _claim(scope: Scope, policy: RateLimit, terms: Terms, address: str) -> Claim | None:
    key = _key(scope, policy, address)
    if key is None or (policy.exempt and policy.is_exempt(key, address.removesuffix("/64"))):
        return None
    cost = policy.cost if isinstance(policy.cost, int) else policy.cost(scope)
    return Claim(policy.name, key, cost, terms.windows) if cost > 0 else None


def _key(scope: Scope, policy: RateLimit, address: str) -> str | None:
    match policy.key:
        case "client_address":
            return address
        case "user":
            return user_of(scope) or address
        case "api_key":
            credential = credential_of(scope)
            return f"key {_digest(credential)}" if credential else address
        case "route":
            # Its pattern where routing has been done, so that /users/1 and /users/2 are one.
            return getattr(scope.get("route"), "path", None) or scope["path"]
        case function:
            return function(scope)


def _digest(credential: str) -> str:
    """A credential's fingerprint: it stands in tables and on pages, the credential never."""
    return hashlib.blake2b(credential.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
