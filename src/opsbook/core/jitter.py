"""Random moments, so that fifty processes do not do the same thing in the same instant."""

from __future__ import annotations

from random import SystemRandom

# Not the generator of the module `random`: that is the service's own, to seed for results that come out the same.
_random = SystemRandom()


def jitter(earliest: float, latest: float) -> float:
    """A moment between two, in whatever unit they are given."""
    return _random.uniform(earliest, latest)
