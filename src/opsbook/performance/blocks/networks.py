"""The blocked networks of one moment, immutable, and the question whether an address lies in one. Pure.

For each prefix length there is a table from the networks' leading bits to the block's end. An index by the first bits
of an address says which prefix lengths occur below them, mostly none or one, so that an address is looked up in one
or two tables of the 25 that IPv4 may have and the 113 of IPv6. One change copies a table, which takes a millisecond.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from opsbook.core.http.client_address import packed_address

FOREVER = math.inf
"""The end of a block that has none."""
_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}
_INDEXED_BITS = {4: 16, 16: 32}
"""How many first bits the index goes by; networks that are wider are few, and asked for every address."""


@dataclass(frozen=True, slots=True)
class PackedNetworks:
    """All blocks of one prefix length, as they travel and are kept."""

    prefix: int
    size: int
    """Bytes of an address: 4 or 16."""
    addresses: bytes
    """One after the other, in network byte order."""
    ends: bytes
    """Of each, as a big-endian double: seconds since 1970, infinity for none."""


class Networks:
    """Every block as of a revision."""

    def __init__(self, revision: int = 0, families: Mapping[int, _Family] | None = None) -> None:
        """Nothing blocked; `of` and `changed` make the others."""
        self.revision = revision
        self._families = families or {size: _Family(size) for size in _FAMILIES}

    @classmethod
    def of(cls, revision: int, parts: Iterable[PackedNetworks]) -> Networks:
        """From what was packed."""
        return cls()._with(revision, {(part.size, part.prefix): _unpacked(part) for part in parts}, {})

    def changed(self, revision: int, changes: Iterable[tuple[str, float | None]]) -> Networks:
        """After some changes, each a network with its new end, or None where it is lifted."""
        added: dict[tuple[int, int], dict[int, float]] = {}
        lifted: dict[tuple[int, int], set[int]] = {}
        for text, end in changes:
            network = ip_network(text)
            place = network.max_prefixlen // 8, network.prefixlen
            leading = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            if end is None:
                lifted.setdefault(place, set()).add(leading)
            else:
                added.setdefault(place, {})[leading] = end
        return self._with(revision, added, lifted)

    def find(self, address: str, now: float) -> str | None:
        """The narrowest block that an address lies in at a moment, as `203.0.113.0/24`; None for no block.

        Args:
            address: Of whoever calls; what is no IP address lies in none.
            now: Seconds since 1970; blocks end by it.
        """
        packed = packed_address(address)
        return self._families[len(packed)].find(int.from_bytes(packed), now) if packed is not None else None

    def packed(self) -> Iterator[PackedNetworks]:
        """All of it, as `of` takes it."""
        for size, family in self._families.items():
            for prefix, table in family.tables.items():
                dropped = 8 * size - prefix
                addresses = b"".join((leading << dropped).to_bytes(size) for leading in table)
                yield PackedNetworks(prefix, size, addresses, struct.pack(f">{len(table)}d", *table.values()))

    def __len__(self) -> int:
        return sum(len(table) for family in self._families.values() for table in family.tables.values())

    def _with(
        self,
        revision: int,
        added: Mapping[tuple[int, int], Mapping[int, float]],
        lifted: Mapping[tuple[int, int], set[int]],
    ) -> Networks:
        families = dict(self._families)
        for size, prefix in (*added, *(place for place in lifted if place not in added)):
            place = size, prefix
            families[size] = families[size].changed(prefix, added.get(place, {}), lifted.get(place, set()))
        return Networks(revision, families)


@dataclass(frozen=True, slots=True)
class _Family:
    """The blocks of IPv4, or of IPv6."""

    size: int
    tables: Mapping[int, Mapping[int, float]] = field(default_factory=dict[int, Mapping[int, float]])
    """By prefix length: a network's leading bits to the end of its block."""
    index: Mapping[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    """An address's first bits to the prefix lengths that may occur below them, the longest first."""
    wide: tuple[int, ...] = ()
    """The prefix lengths that are shorter than the index goes."""

    def find(self, number: int, now: float) -> str | None:
        bits = 8 * self.size
        for prefix in self.index.get(number >> (bits - _INDEXED_BITS[self.size]), ()) + self.wide:
            leading = number >> (bits - prefix)
            end = self.tables[prefix].get(leading)
            if end is not None and now < end:
                address = socket.inet_ntop(_FAMILIES[self.size], (leading << (bits - prefix)).to_bytes(self.size))
                return f"{address}/{prefix}"
        return None

    def changed(self, prefix: int, added: Mapping[int, float], lifted: set[int]) -> _Family:
        table = {**self.tables.get(prefix, {}), **added}
        for leading in lifted:
            table.pop(leading, None)
        tables = {**self.tables, prefix: table}
        beyond = prefix - _INDEXED_BITS[self.size]
        if beyond < 0:
            return _Family(self.size, tables, self.index, tuple(sorted({*self.wide, prefix}, reverse=True)))
        # What is lifted stays in the index, which says where to look and not what is there.
        index = dict(self.index)
        known: dict[tuple[int, ...], tuple[int, ...]] = {}
        for first in {leading >> beyond for leading in added}:
            held = index.get(first, ())
            if prefix not in held:
                # One object for each combination, not one for each entry.
                longer = tuple(sorted((*held, prefix), reverse=True)) if held not in known else known[held]
                index[first] = known[held] = longer
        return _Family(self.size, tables, index, self.wide)


def _unpacked(part: PackedNetworks) -> dict[int, float]:
    dropped, size, data = 8 * part.size - part.prefix, part.size, part.addresses
    leading = (int.from_bytes(data[at : at + size]) >> dropped for at in range(0, len(data), size))
    ends = struct.unpack(f">{len(part.ends) // 8}d", part.ends)
    # One object for all that have no end, not one each.
    return dict(zip(leading, (FOREVER if end == FOREVER else end for end in ends), strict=True))
