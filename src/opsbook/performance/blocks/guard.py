"""What may be blocked: networks as they are written, and those that only who says so twice may block. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import accumulate
from typing import TypeAlias

from opsbook.core.errors import Conflict, Invalid
from opsbook.core.http.client_address import plain_address

Network: TypeAlias = IPv4Network | IPv6Network

_WIDEST = {4: 8, 6: 16}
"""As the table has it."""
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_MAPPED = IPv6Network("::ffff:0:0/96")
_COMMENT = re.compile(r"[#;].*")
_MOST_TOLD = 5


class WouldLockOut(Conflict):
    """The block would shut out whoever makes it, this machine itself, or everybody behind a proxy."""

    title = "This would lock you out"


def read_networks(texts: Iterable[str]) -> Sequence[Network]:
    """Networks and single addresses, each once; a comment after `#` or `;` and empty lines are passed over.

    Raises:
        Invalid: Some are no networks, have bits set beyond their prefix, or are too wide; says which.
    """
    found: dict[Network, None] = {}
    wrong: list[str] = []
    for text in texts:
        if written := _COMMENT.sub("", text).strip():
            try:
                found[_network(written)] = None
            except Invalid as error:
                wrong.append(str(error))
    if wrong:
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        raise Invalid("; ".join(wrong[:_MOST_TOLD]) + more)
    if not found:
        raise Invalid("no network was given; write for example 203.0.113.0/24")
    return list(found)


def require_harmless(
    networks: Collection[Network], own: Collection[str], proxies: Iterable[Network], *, hint: str
) -> None:
    """Refuse what somebody would regret.

    Args:
        networks: To be blocked.
        own: Addresses from which the operators work.
        proxies: The trusted ones, which everybody comes through.
        hint: How to say it twice.

    Raises:
        WouldLockOut: Says which network would hit whom.
    """
    addresses = filter(None, map(plain_address, own))
    kept = [*_named(map(ip_network, addresses), "an address that an operator works from")]
    kept += [*_named(_LOOPBACK, "this machine itself"), *_named(proxies, "a trusted proxy")]
    spans = {version: _Spans(n for n in networks if n.version == version) for version in _WIDEST}
    for protected, what in kept:
        hit = spans[protected.version].overlapping(*_span(protected))
        if hit is not None:
            address = protected.network_address if protected.num_addresses == 1 else protected
            raise WouldLockOut(f"{hit} would block {address}, which is {what}; {hint} if that is meant")


def _named(networks: Iterable[Network], what: str) -> Iterator[tuple[Network, str]]:
    return ((network, what) for network in networks)


class _Spans:
    """Networks of one family by their first address, so that each question is answered without looking at all."""

    def __init__(self, networks: Iterable[Network]) -> None:
        spans = sorted((*_span(network), network) for network in networks)
        self._firsts = [first for first, *_ in spans]
        # Up to each place, the one that reaches furthest.
        self._furthest = list(accumulate(((last, network) for _, last, network in spans), max))

    def overlapping(self, first: int, last: int) -> Network | None:
        place = bisect_right(self._firsts, last) - 1
        if place < 0:
            return None
        reach, network = self._furthest[place]
        return network if reach >= first else None


def _span(network: Network) -> tuple[int, int]:
    first = int(network.network_address)
    return first, first | ((1 << (network.max_prefixlen - network.prefixlen)) - 1)


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise Invalid(_why(text)) from None
    if network.prefixlen < _WIDEST[network.version]:
        raise Invalid(f"{network} is too wide: a block is no wider than /8 for IPv4 and /16 for IPv6")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise Invalid(f"{network} is IPv4 mapped into IPv6; write the IPv4 network")
    return network


def _why(text: str) -> str:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return f"{text[:60]!r} is no network; write for example 203.0.113.0/24 or 2001:db8::/48"
    return f"{text} has bits set beyond its prefix; {meant} is that network"
