"""Who really calls: the peer of the connection, or whom the proxies that are trusted say they speak for.

Each proxy notes the address it was called from at the right end of `Forwarded` (RFC 7239) or `X-Forwarded-For`.
Read from the right, every hop is as good as the proxy that wrote it; the first that is not a trusted proxy is the
caller, and all that stands left of it may be the caller's own invention. Where a hop cannot be read, the last
certain one counts. A caller can send the header that its proxy does not write; so where both are there and
disagree, neither is believed, and the proxy itself is the caller (`claimed_addresses` gives all three).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

from opsbook.core.errors import Invalid

if TYPE_CHECKING:
    from starlette.types import Scope

UNKNOWN = "unknown"
"""The address of who has none, as at a unix socket; also RFC 7239's word."""
_UNIX = "unix"
_MOST_HOPS = 32
_MOST_BYTES = 4096
"""Of a header, from its right end: more is a bomb, not a way through proxies."""
_MAPPED = bytes(10) + b"\xff\xff"
"""An IPv4 address in IPv6 clothes begins so (RFC 4291, 2.5.5.2)."""

_DELIMITER = re.compile(r'[",]')
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf'[ \t]*({_WORD})=({_WORD}|"(?:[^"\\]|\\.)*")[ \t]*(?:;|$)')
_IPV4_NODE = re.compile(r"([0-9.]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_IPV6_NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")

Hops = Iterator[str | None]
"""Addresses from the right; None for a hop that cannot be read, after which nothing is certain."""


class TrustedProxies:
    """The proxies whose word counts."""

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network] = (), *, unix: bool = False) -> None:
        """Trust these networks; with `unix`, also whoever calls by a unix socket."""
        self.networks = tuple(networks)
        self._unix = unix
        self._masks = tuple((int(n.netmask), int(n.network_address), n.max_prefixlen // 8) for n in self.networks)
        self._any = bool(self.networks) or unix

    @classmethod
    def parse(cls, text: str) -> TrustedProxies:
        """From addresses and networks between commas, and the word `unix`: `10.0.0.0/8, 2001:db8::7, unix`.

        Raises:
            Invalid: One of them is no network, or has bits set beyond its prefix.
        """
        words = [word.strip() for word in text.split(",") if word.strip()]
        try:
            networks = [ip_network(word) for word in words if word != _UNIX]
        except ValueError as error:
            raise Invalid(f"trusted proxies are networks like 10.0.0.0/8, between commas: {error}") from error
        return cls(networks, unix=_UNIX in words)

    def client_address(self, scope: Scope) -> str:
        """The caller's address in its shortest form; the peer's own word where it is no IP address, or UNKNOWN."""
        peer = _peer(scope)
        if not self._any or not self.trusts(peer):
            return peer
        callers = self._callers(scope, peer)
        return callers[0] if len(callers) == 1 else peer

    def claimed_addresses(self, scope: Scope) -> tuple[str, ...]:
        """Every address that the caller may have; one, except where the two headers disagree."""
        peer = _peer(scope)
        if not self._any or not self.trusts(peer):
            return (peer,)
        callers = self._callers(scope, peer)
        return callers if len(callers) == 1 else (*callers, peer)

    def scheme(self, scope: Scope) -> str:
        """What the caller speaks, `http` or `https`, by `X-Forwarded-Proto` where the peer is trusted."""
        if self._any and self.trusts(_peer(scope)):
            told = _header(scope, b"x-forwarded-proto").rpartition(",")[2].strip().lower()
            if told in ("http", "https"):
                return told
        return scope.get("scheme", "http")

    def trusts(self, address: str) -> bool:
        """Whether an address is a trusted proxy's."""
        packed = packed_address(address)
        if packed is None:
            return self._unix and address == UNKNOWN
        number, size = int.from_bytes(packed), len(packed)
        return any(size == of and number & mask == network for mask, network, of in self._masks)

    def _callers(self, scope: Scope, peer: str) -> tuple[str, ...]:
        ways: tuple[tuple[bytes, Callable[[str], Hops]], ...] = (
            (b"x-forwarded-for", _x_forwarded_for),
            (b"forwarded", _forwarded),
        )
        told = [self._caller(peer, hops(text)) for name, hops in ways if (text := _header(scope, name))]
        return tuple(dict.fromkeys(told)) or (peer,)

    def _caller(self, peer: str, hops: Hops) -> str:
        certain = peer
        for hop in hops:
            if hop is None:
                break
            certain = hop
            if not self.trusts(hop):
                break
        return certain


def limit_key(address: str) -> str:
    """What a limit counts an address under: an IPv6 address by its /64, which is the least that one caller gets."""
    packed = packed_address(address)
    if packed is None:
        return address
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8)) + "/64"


def packed_address(address: str) -> bytes | None:
    """The 4 or 16 bytes of an IP address, without a zone, and IPv4 for one that is mapped; None for anything else."""
    try:
        if ":" not in address:
            return socket.inet_pton(socket.AF_INET, address)
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed


def plain_address(address: str) -> str | None:
    """An IP address in its shortest form, or None for anything else."""
    packed = packed_address(address)
    if packed is None:
        return None
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    host = client[0] if client else ""
    # Most peers are plain IPv4, as the server took it from the kernel: nothing to shorten.
    return (plain_address(host) or host) if ":" in host else (host or UNKNOWN)


def _header(scope: Scope, wanted: bytes) -> str:
    """A header's lines joined in their order, or as much of their right end as is worth reading."""
    lines: list[bytes] = []
    size = 0
    for name, value in reversed(scope["headers"]):
        if name == wanted:
            lines.append(value)
            size += len(value) + 1
            if size > _MOST_BYTES:
                break
    text = b",".join(reversed(lines)).decode("latin-1")
    # Without the hop that the cut falls into: its rest might read as another address.
    return text if len(text) <= _MOST_BYTES else "," + text[-_MOST_BYTES:].partition(",")[2]


def _x_forwarded_for(text: str) -> Hops:
    for hop in reversed(text.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
        stripped = hop.strip(" \t")
        yield plain_address(stripped) if stripped.count(":") > 1 and "[" not in stripped else _node(stripped)


def _forwarded(text: str) -> Hops:
    for _, element in zip(range(_MOST_HOPS), _elements(text), strict=False):
        yield _node_of(element)


def _elements(text: str) -> Iterator[str]:
    """The elements from the right, whatever unpaired quote a caller may have put at the left."""
    end, quoted = len(text), False
    for found in reversed(list(_DELIMITER.finditer(text))):
        place = found.start()
        if found[0] == '"':
            quoted ^= not _is_escaped(text, place)
        elif not quoted:
            yield text[place + 1 : end]
            end = place
    yield text[:end]


def _is_escaped(text: str, place: int) -> bool:
    before = place
    while before and text[before - 1] == "\\":
        before -= 1
    return (place - before) % 2 == 1


def _node_of(element: str) -> str | None:
    nodes: list[str] = []
    place = 0
    while place < len(element):
        pair = _PAIR.match(element, place)
        if pair is None:
            return None
        if pair[1].lower() == "for":
            nodes.append(pair[2])
        place = pair.end()
    return _node(nodes[0].removeprefix('"').removesuffix('"')) if len(nodes) == 1 else None


def _node(text: str) -> str | None:
    """The address of a node (RFC 7239, 6) with its port taken off; None for `unknown` and for made-up names."""
    found = _IPV6_NODE.fullmatch(text) or _IPV4_NODE.fullmatch(text)
    return plain_address(found[1]) if found else None
