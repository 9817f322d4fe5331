"""Buckets: where a key falls, the same in every process, language and in SQL."""

from __future__ import annotations

from typing import Final

import mmh3

BUCKETS: Final = 10_000
_VARIANT_SEED: Final = 86028157
"""Unleash's, so that who is in a rollout says nothing of which variant they get."""


def bucket(group: str, value: str) -> int:
    """The bucket of a value, 0 to 9,999; the same group and value always give the same.

    At whole percents it agrees with Unleash, whose client specification hashes `group:value`
    with murmur3 (x86, 32 bits, seed 0) modulo 100: the hundreds of our bucket are that number.
    The two digits after it come from the next two digits of the same hash.
    """
    number = mmh3.hash(f"{group}:{value}".encode("utf-8", "surrogatepass"), 0, signed=False)
    return (number % 100) * 100 + (number // 100) % 100


def variant_bucket(group: str, value: str, total: int) -> int:
    """Where a value falls among weights that sum to `total`: 1 to total, as Unleash's clients have it."""
    return mmh3.hash(f"{group}:{value}".encode("utf-8", "surrogatepass"), _VARIANT_SEED, signed=False) % total + 1
