"""What became of a function's calls, counted in this process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Calls since the process began. Counting takes no lock: in the same instant, threads may lose a count."""

    hits: int = 0
    """Answered from this process's memory."""
    shared_hits: int = 0
    """Answered from Redis."""
    stale: int = 0
    """Answered with a result past its ttl, while it was computed anew."""
    misses: int = 0
    """Computed while the caller waited."""
    waits: int = 0
    """Waited for another caller's computation."""
    refreshes: int = 0
    """Computed behind the callers' backs."""
    errors: int = 0
    """Computations that raised."""
    seconds: float = 0.0
    """Spent computing."""

    def since(self, earlier: Counts) -> Counts:
        """What was counted after `earlier`."""
        return Counts(*(getattr(self, name) - getattr(earlier, name) for name in NAMES))

    def copy(self) -> Counts:
        return self.since(Counts())


NAMES = tuple(Counts.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a function's cache has done in this process, and holds."""

    hits: int
    shared_hits: int
    stale: int
    misses: int
    waits: int
    refreshes: int
    errors: int
    seconds: float
    entries: int
    """Results in memory."""
    bytes: int
    """Their size, about."""

    @property
    def hit_rate(self) -> float:
        """The part of calls that did not have to wait for a computation; 0 where there was no call."""
        return hit_rate(self.hits + self.shared_hits + self.stale, self.misses + self.waits)

    @property
    def seconds_saved(self) -> float:
        """About how long callers would have computed without the cache."""
        answered = self.hits + self.shared_hits + self.stale + self.waits
        return seconds_saved(answered, self.misses + self.refreshes, self.seconds)


def hit_rate(answered: int, waited: int) -> float:
    """The part that was answered at once; 0 where nobody called."""
    return answered / (answered + waited) if answered + waited else 0.0


def seconds_saved(answered: int, computed: int, seconds: float) -> float:
    """The mean time of a computation, for each call that was answered without one of its own."""
    return answered * seconds / computed if computed else 0.0
