"""What a limiter is asked and what it answers: windows, claims, decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias


class Window(NamedTuple):
    """At most `limit` in any stretch of `seconds`, wherever on the time line it begins."""

    limit: int
    seconds: float


Windows: TypeAlias = tuple[Window, ...]
"""All windows of one policy, at least one, the longest last; they are decided together."""


class Standing(NamedTuple):
    """How a key stands in one window, after the decision."""

    wait: float
    """Seconds until there is room for what was refused; 0 where this window has room."""
    remaining: int
    """How much the window still has room for."""
    reset: float
    """Seconds until it has room for more than that."""


class Claim(NamedTuple):
    """One policy's share of a request: whom it counts against, and for how much."""

    policy: str
    key: str
    cost: int
    windows: Windows


Decision: TypeAlias = Sequence[Standing]
"""One standing for each window of each claim, in their order. Admitted is what need not wait in any of them."""


def longest_wait(decision: Decision) -> float:
    """Seconds until every window has room; 0 where the request was admitted."""
    return max([standing.wait for standing in decision], default=0.0)
