"""When a result is to be computed anew, so that it is there before the old one ends.

The moment is drawn as in XFetch (Vattani, Chierichetti, Lowenstein: "Optimal probabilistic cache stampede
prevention", VLDB 2015): the earlier, the longer the computation takes, and at random, so that processes do not
all come at once. XFetch draws at each request; here each process draws once for each result, and never later than
twice the computation's time before the end, so that even a single caller does not find it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from secrets import SystemRandom

_draw = SystemRandom().random
_AT_LEAST = 2.0
"""Computations that fit between the latest refresh and the end."""
_MOST_OF_TTL = 0.5
"""A function that takes nearly as long as its result lasts would otherwise never rest."""


def refresh_ahead(ttl: float, seconds: float, draw: Callable[[], float] = _draw) -> float:
    """How many seconds before its end a result is to be computed anew.

    Args:
        ttl: Seconds that a result lasts.
        seconds: How long it took to compute.
        draw: Gives a number in [0, 1).
    """
    return min(ttl * _MOST_OF_TTL, seconds * (_AT_LEAST - log(1.0 - draw())))
