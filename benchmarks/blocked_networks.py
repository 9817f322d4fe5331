"""What 100,000 blocked networks add to a request that comes from none of them."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import islice
from pathlib import Path

import psycopg

from benchmarks._beside import figure
from benchmarks._requests import costs, service
from benchmarks._servers import wait_for
from opsbook.chapters import CHAPTERS
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.schema import apply_schema
from opsbook.performance import AddressBlocks, RefuseBlocked

NETWORKS = 100_000
ROUNDS = 300
REQUESTS_A_ROUND = 50
TARGET_MICROSECONDS = 5.0
SEED = 4


def main() -> None:
    """The networks lie close together, so that most requests come from the neighbourhood of one."""
    chance = random.Random(SEED)
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder / "home") as postgres:
            url = postgres.urls["ops"]
            apply_schema(url, CHAPTERS)
            insert_blocks(url, chance)
            blocks = AddressBlocks(url)
            blocks.start()
            wait_for(lambda: len(blocks.networks) == NETWORKS)
            for family, addresses in (("IPv4", ipv4_addresses(chance)), ("IPv6", ipv6_addresses(chance))):
                report(family, blocks, (each for each in addresses if not blocks.refuses([each])))
            blocks.close()


def report(family: str, blocks: AddressBlocks, strangers: Iterator[str]) -> None:
    guarded = service()
    guarded.add_middleware(RefuseBlocked, blocks=blocks)
    rounds = [list(islice(strangers, REQUESTS_A_ROUND)) for _ in range(ROUNDS)]
    added = asyncio.run(costs({"control": service(), "ours": guarded}, service(), rounds))
    what = f"a FastAPI request over {family}, {NETWORKS:,} networks blocked, median of {ROUNDS} × {REQUESTS_A_ROUND}"
    beside = f"two requests without it differ by {abs(added['control']):.2f} µs"
    figure(f"blocked_networks_{family.lower()}", what, added["ours"], "µs", TARGET_MICROSECONDS, peer=beside)


def insert_blocks(url: str, chance: random.Random) -> None:
    """Half IPv4, half IPv6, of several lengths."""
    networks: set[str] = set()
    for addresses, lengths, upto in (
        (ipv4_addresses(chance), (24, 28, 32), NETWORKS // 2),
        (ipv6_addresses(chance), (48, 56, 64), NETWORKS),
    ):
        while len(networks) < upto:
            networks.add(str(ip_network((next(addresses), chance.choice(lengths)), strict=False)))
    with psycopg.connect(url) as connection:
        connection.execute("insert into address_blocks (network) select unnest(%s::cidr[])", [list(networks)])


def ipv4_addresses(chance: random.Random) -> Iterator[str]:
    """Of a sixteenth of all."""
    while True:
        yield str(IPv4Address((2 << 28) + chance.getrandbits(28)))


def ipv6_addresses(chance: random.Random) -> Iterator[str]:
    """Of 2a00::/16, in which there are more networks than anybody blocks."""
    while True:
        yield str(IPv6Address((0x2A00 << 112) + (chance.getrandbits(32) << 80) + chance.getrandbits(80)))


if __name__ == "__main__":
    main()
