"""Is a flag on for somebody? Pure functions over an immutable, compiled flag.

A flag is on when it is enabled, not killed, not archived, and the targeting key falls inside
the rollout percentage. The key's bucket is a murmur3 hash of `flag:key`, so that it is the
same in every process and language; raising the percentage only ever adds people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import mmh3

from opsbook.flags.model import Flag

BUCKETS: Final = 10_000

STATIC: Final = "STATIC"
SPLIT: Final = "SPLIT"
DISABLED: Final = "DISABLED"
ERROR: Final = "ERROR"
FLAG_NOT_FOUND: Final = "FLAG_NOT_FOUND"
TARGETING_KEY_MISSING: Final = "TARGETING_KEY_MISSING"
INVALID_CONTEXT: Final = "INVALID_CONTEXT"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A flag's value for one context. Reasons and error codes are OpenFeature's (specification 0.8, types)."""

    value: bool
    variant: str | None
    reason: str
    error_code: str | None = None
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, "str | int | float | bool"])


@dataclass(frozen=True, slots=True)
class CompiledFlag:
    """A flag with everything worked out that does not depend on the context."""

    flag: Flag
    threshold: int
    """Buckets below it are in; 0 to 10,000."""
    fixed: Evaluation | None
    """The answer for everybody, where it is the same for everybody."""
    inside: Evaluation
    outside: Evaluation
    without_key: Evaluation


def bucket(group: str, value: str) -> int:
    """The bucket of a value, 0 to 9,999; the same group and value always give the same.

    At whole percents it agrees with Unleash, whose client specification hashes `group:value`
    with murmur3 (x86, 32 bits, seed 0) modulo 100: the hundreds of our bucket are that number.
    The two digits after it come from the next two digits of the same hash.
    """
    number = mmh3.hash(f"{group}:{value}".encode("utf-8", "surrogatepass"), 0, signed=False)
    return (number % 100) * 100 + (number // 100) % 100


def compile_flag(flag: Flag) -> CompiledFlag:
    """Work out what does not depend on the context."""
    metadata: dict[str, str | int | float | bool] = {"revision": flag.revision}
    threshold = min(BUCKETS, max(0, round(flag.rollout_percentage * 100)))
    off = Evaluation(False, "off", DISABLED, metadata={**metadata, "killed": flag.kill_switch})
    everybody = Evaluation(True, "on", STATIC, metadata=metadata)
    fixed: Evaluation | None = None
    if flag.kill_switch or not flag.enabled or flag.archived_at is not None:
        fixed = off
    elif threshold >= BUCKETS:
        fixed = everybody
    elif threshold == 0:
        fixed = Evaluation(False, "off", STATIC, metadata=metadata)
    return CompiledFlag(
        flag,
        threshold,
        fixed,
        inside=Evaluation(True, "on", SPLIT, metadata=metadata),
        outside=Evaluation(False, "off", SPLIT, metadata=metadata),
        without_key=Evaluation(False, "off", ERROR, TARGETING_KEY_MISSING, metadata),
    )


def evaluate(compiled: CompiledFlag, targeting_key: str | None) -> Evaluation:
    """A flag's value for a targeting key; without a key a partial rollout is off, and says why."""
    if compiled.fixed is not None:
        return compiled.fixed
    if not targeting_key:
        return compiled.without_key
    return compiled.inside if bucket(compiled.flag.name, targeting_key) < compiled.threshold else compiled.outside
