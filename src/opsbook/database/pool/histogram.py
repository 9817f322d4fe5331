"""Counts durations in buckets that grow by a fifth: small, mergeable, and true to within a tenth at any scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, log2

_PER_DOUBLING = 4
"""Buckets from one duration to its double; each then ends at 2^(1/4), some 1.19 times, where it begins."""
_SMALLEST_SECONDS = 1e-6
_PER_SECOND = 1 / _SMALLEST_SECONDS
_LAST = 40 * _PER_DOUBLING
"""The bucket of everything above some twelve days."""


class Histogram:
    """Durations in seconds, counted; only ever grows, so that two readings differ by what came between.

    Takes no lock: of two threads that count into one bucket in the same instant, one may go uncounted.
    """

    __slots__ = ("_buckets", "total_seconds")

    def __init__(self) -> None:
        self._buckets = [0] * (_LAST + 1)
        self.total_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        # Runs at each checkout: no call more than it needs.
        bucket = int(_PER_DOUBLING * log2(seconds * _PER_SECOND)) + 1 if seconds > _SMALLEST_SECONDS else 0
        self._buckets[bucket if bucket < _LAST else _LAST] += 1
        self.total_seconds += seconds

    def counts(self) -> dict[int, int]:
        """How many durations each bucket has, of those that have any."""
        return {bucket: count for bucket, count in enumerate(self._buckets) if count}


def quantiles(counts: Mapping[int, int], shares: Iterable[float]) -> list[float | None]:
    """The durations, in seconds, that so large a share of the counted stays within; None where nothing was counted.

    Args:
        counts: By bucket, as `Histogram.counts` gives them, also of several added up.
        shares: Each from 0 to 1: 0.5 asks for the median.
    """
    total = sum(counts.values())
    return [_quantile(counts, ceil(share * total)) if total else None for share in shares]


def _quantile(counts: Mapping[int, int], rank: int) -> float:
    seen = 0
    buckets = sorted(counts)
    for bucket in buckets:
        seen += counts[bucket]
        if seen >= rank:
            return _middle(bucket)
    return _middle(buckets[-1])


def _middle(bucket: int) -> float:
    """The geometric mean of a bucket's ends, which no duration in it is further from than a tenth."""
    return _SMALLEST_SECONDS * 2 ** ((bucket - 0.5) / _PER_DOUBLING) if bucket else _SMALLEST_SECONDS
