"""What is in force for each policy: what the code declares, overlaid by what operators set, while that lasts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from opsbook.performance.limits.decision import Windows
from opsbook.performance.limits.policy import RateLimit

Mode: TypeAlias = Literal["enforce", "observe", "off"]
"""`observe` counts and refuses nobody; `off` does not even count."""


@dataclass(frozen=True, slots=True)
class Override:
    """What operators have set for a policy."""

    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    mode: Mode = "enforce"
    ends_at: float = math.inf
    """By the process's own clock."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A policy's windows and what becomes of who exceeds them."""

    windows: Windows
    mode: Mode


Overrides: TypeAlias = Mapping[str, Override]


def terms_of(policies: Mapping[str, RateLimit], overrides: Overrides, now: float) -> Mapping[str, Terms]:
    """What is in force at that moment."""
    unchanged = Override()
    found: dict[str, Terms] = {}
    for name, policy in tuple(policies.items()):  # at once: another thread may declare one meanwhile
        override = overrides.get(name, unchanged)
        if override.ends_at <= now:
            override = unchanged
        found[name] = Terms(policy.windows(override.limits), override.mode)
    return found


def next_end(overrides: Overrides, now: float) -> float:
    """When the next override ends, infinity where none does."""
    return min((each.ends_at for each in overrides.values() if each.ends_at > now), default=math.inf)
