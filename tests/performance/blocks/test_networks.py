"""Blocked networks in memory: found like a plain search finds them, in microseconds, and changed one by one."""

from __future__ import annotations

import random
import time
import timeit
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from opsbook.performance.blocks.networks import FOREVER, Networks

NOW = 1_900_000_000.0
Network = IPv4Network | IPv6Network


def near(bits: int, base: int) -> st.SearchStrategy[int]:
    """Addresses that differ in some high and some low bits, so that networks nest and touch."""
    high = st.sampled_from([0, 1, 2, 3]).map(lambda n: n << (bits - 18))
    low = st.one_of(st.integers(0, 3), st.integers(0, 2 ** (bits - 20)))
    return st.builds(lambda a, b: base | a | b, high, low)


IPV4 = near(32, 0xCB << 24)
IPV6 = near(128, 0x2001 << 112)
ADDRESSES = st.one_of(IPV4.map(IPv4Address), IPV6.map(IPv6Address))
NETWORKS = st.one_of(
    st.builds(lambda n, p: IPv4Network((n >> (32 - p) << (32 - p), p)), IPV4, st.integers(8, 32)),
    st.builds(lambda n, p: IPv6Network((n >> (128 - p) << (128 - p), p)), IPV6, st.integers(16, 128)),
)
ENDS = st.sampled_from([FOREVER, NOW - 1, NOW, NOW + 1])


def searched(blocks: dict[Network, float], address: IPv4Address | IPv6Address) -> str | None:
    """What is right, the slow way."""
    around = [network for network, end in blocks.items() if address in network and end > NOW]
    return str(max(around, key=lambda network: network.prefixlen)) if around else None


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.dictionaries(NETWORKS, st.one_of(ENDS, st.none()), max_size=12), min_size=1, max_size=4),
    st.lists(ADDRESSES, max_size=20),
)
def test_it_finds_what_a_plain_search_finds(
    steps: list[dict[Network, float | None]], others: list[IPv4Address]
) -> None:
    """After each of several changes, and again from what was packed; inside, beside and at the edges."""
    held: dict[Network, float] = {}
    networks = Networks()
    for revision, step in enumerate(steps, start=1):
        networks = networks.changed(revision, [(str(network), end) for network, end in step.items()])
        held = {n: end for n, end in {**held, **step}.items() if end is not None}
        edges = [a for n in step for a in (n.network_address, n.broadcast_address)]
        unpacked = Networks.of(revision, networks.packed())
        for address in (*edges, *others):
            expected = searched(held, address)
            assert networks.find(str(address), NOW) == expected
            assert unpacked.find(str(address), NOW) == expected
        assert (len(networks), len(unpacked), networks.revision) == (len(held), len(held), revision)


def test_a_block_ends_at_its_moment() -> None:
    networks = Networks().changed(1, [("203.0.113.0/24", NOW)])
    assert networks.find("203.0.113.7", NOW - 0.001) == "203.0.113.0/24"
    assert networks.find("203.0.113.7", NOW) is None


def test_mapped_addresses_are_ipv4_and_what_is_no_address_is_nowhere() -> None:
    networks = Networks().changed(1, [("203.0.113.0/24", FOREVER), ("2001:db8::/48", FOREVER)])
    assert networks.find("::ffff:203.0.113.7", NOW) == "203.0.113.0/24"
    assert networks.find("2001:db8:0:1::7%eth0", NOW) == "2001:db8::/48"
    for nothing in ("unknown", "", "203.0.113", "203.0.113.7 ", "203.0.113.7\x00", "testclient"):
        assert networks.find(nothing, NOW) is None


def test_a_change_leaves_what_was_as_it_was() -> None:
    before = Networks().changed(1, [("203.0.113.0/24", FOREVER)])
    after = before.changed(2, [("203.0.113.0/24", None), ("198.51.100.0/24", FOREVER)])
    assert before.find("203.0.113.7", NOW) and not before.find("198.51.100.7", NOW)
    assert after.find("198.51.100.7", NOW) and not after.find("203.0.113.7", NOW)


def test_many_networks_are_searched_in_microseconds_and_changed_in_milliseconds() -> None:
    chance = random.Random(4)
    lengths = [*[24] * 3, *[32] * 6, 28, 22, *range(12, 32)]
    texts = [
        str(IPv4Network((chance.getrandbits(32) >> (32 - p) << (32 - p), p))) for p in chance.choices(lengths, k=20_000)
    ]
    texts += [str(IPv6Network((0x2001 << 112 | chance.getrandbits(64) << 48, 80))) for _ in range(10_000)]
    networks = Networks().changed(1, [(text, FOREVER) for text in texts])
    parts = list(networks.packed())
    assert min(timeit.repeat(lambda: Networks.of(1, parts), number=1, repeat=3)) < 2.0  # 0.02 s at rest
    addresses = [str(ip_address(chance.getrandbits(32))) for _ in range(1000)]
    assert min(timeit.repeat(lambda: [networks.find(a, NOW) for a in addresses], number=1, repeat=5)) < 0.05  # 1 ms
    started = time.perf_counter()
    assert networks.changed(2, [("203.0.113.7/32", FOREVER)]).find("203.0.113.7", NOW)
    assert time.perf_counter() - started < 0.5  # 1 ms
    assert all(networks.find(str(ip_network(text).network_address), NOW) for text in texts[::100])
