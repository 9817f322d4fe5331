"""What a process counts of its limits between two reports: admitted, refused, and which keys stood out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

_NEAR = 0.5
"""The share of a limit from which on a key is worth a look."""
_MOST_KEYS = 1000
"""Keys of a policy that are counted one by one; a flood of others is in the sums."""
_LONGEST_KEY = 200


@dataclass(slots=True)
class Tally:
    """One policy's counts."""

    admitted: int = 0
    refused: int = 0
    refused_keys: Counter[str] = field(default_factory=Counter[str])
    near_keys: dict[str, float] = field(default_factory=dict[str, float])
    """The largest share of a limit, 0 to 1, that each of these keys had used."""

    def note(self, key: str, used: float, *, is_refused: bool) -> None:
        """Count one decision."""
        if not is_refused:
            self.admitted += 1
        else:
            self.refused += 1
            _add(self.refused_keys, key, 1)
        if used >= _NEAR and (used > self.near_keys.get(key, 0.0)):
            _set(self.near_keys, key, used)


class Counts:
    """A process's tallies. Counting takes no lock: threads may lose a count to one another."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = defaultdict(Tally)

    def note(self, policy: str, key: str, used: float, *, is_refused: bool) -> None:
        """Count one decision, after which the key has used that share of its limit."""
        self._tallies[policy].note(key, used, is_refused=is_refused)

    def take(self) -> Mapping[str, Tally]:
        """What was counted since the last time."""
        taken, self._tallies = self._tallies, defaultdict(Tally)
        return dict(taken)


def _add(counts: Counter[str], key: str, number: int) -> None:
    if key in counts or len(counts) < _MOST_KEYS:
        counts[_shown(key)] += number


def _set(shares: dict[str, float], key: str, share: float) -> None:
    if key in shares or len(shares) < _MOST_KEYS:
        shares[_shown(key)] = share


def _shown(key: str) -> str:
    """A key as a table can hold it."""
    return key[:_LONGEST_KEY].encode("utf-8", "replace").decode().replace("\0", "�")
