"""Limits kept in this process: each key's admitted moments, in a ring as large as what is live.

Why it is exact. A window of limit L and length S has room for one more at `now` if and only if fewer
than L admitted moments lie in (now - S, now]. Moments are in order, so that is to say: the L-th most
recent one is absent, or at least S old. For a cost of c it is the (L - c + 1)-th. One look a window,
whatever its limit. As each admission leaves at most L moments in the stretch that ends with it, and any
stretch with a moment in it has no more than the one that ends with its last, no half-open stretch of
length S, anywhere on the time line, holds more than L. This is the sliding log; only its look-up is not
the usual one.

What is left of a window is reckoned as `moment - now + seconds`, in this order: the difference of two near numbers
is exact, so no rounding makes a window shorter, nor a whole second one more.

Nothing live is ever overwritten: a full ring gives up its oldest moment where that has left the longest
window, and grows where it has not. So a ring is never much larger than what its key did in the longest
window, and changed limits find the history that the old ones left.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Sequence

from opsbook.performance.limits.decision import Claim, Decision, Standing, Windows

MOST_KEYS = 100_000
"""Keys of one policy with a ring of their own."""

_SMALLEST_RING = array("d", [-math.inf] * 4)
_SHARED_LOGS = 4096


class Log:
    """The admitted moments of one key: the newest before `head`, the oldest at it, minus infinity where none is."""

    __slots__ = ("head", "moments")

    def __init__(self) -> None:
        self.moments = _SMALLEST_RING[:]
        self.head = 0

    def admit(self, windows: Windows, cost: int, now: float) -> bool:
        """Whether every window has room for the cost, and if so note it: `wait` and `record` at once, and faster."""
        moments, head = self.moments, self.head
        size, seconds = len(moments), 0.0
        for limit, seconds in windows:
            nth = limit - cost + 1
            if nth <= size and (nth < 1 or moments[head - nth] - now + seconds > 0):
                return False
        if cost == 1 and moments[head] - now + seconds <= 0:
            moments[head] = now
            self.head = head + 1 if head + 1 < size else 0
        else:
            self.record(cost, now, seconds)
        return True

    def wait(self, windows: Windows, cost: int, now: float) -> float:
        """Seconds until every window has room for the cost, 0 or less for now; infinite where one never has."""
        moments, head = self.moments, self.head
        size, longest = len(moments), 0.0
        for limit, seconds in windows:
            nth = limit - cost + 1
            if nth > size:
                continue
            if nth < 1:
                return math.inf
            left = moments[head - nth] - now + seconds  # a negative index counts from the end, as the ring does
            if left > longest:  # noqa: PLR1730 — max() would cost as much as all the rest
                longest = left
        return longest

    def record(self, cost: int, now: float, longest: float) -> None:
        """Note an admission, where the longest window has so many seconds."""
        while cost:
            moments, head = self.moments, self.head
            if moments[head] - now + longest > 0:
                self._grow()
                continue
            moments[head] = now
            self.head = head + 1 if head + 1 < len(moments) else 0
            cost -= 1

    def standings(self, windows: Windows, cost: int, now: float) -> Sequence[Standing]:
        """How each window stands, for one who was refused that cost, or who was admitted where it is 0."""
        return [self._standing(limit, seconds, cost, now) for limit, seconds in windows]

    def _standing(self, limit: int, seconds: float, cost: int, now: float) -> Standing:
        used = self._used(limit, seconds, now)
        reset = self.moments[self.head - used] - now + seconds if used else seconds
        nth = limit - cost + 1
        if used < nth:
            return Standing(0.0, limit - used, reset)
        wait = self.moments[self.head - nth] - now + seconds if nth > 0 else seconds
        return Standing(wait, limit - used, reset)

    def _used(self, limit: int, seconds: float, now: float) -> int:
        """How many of the most recent moments are in the window, as far as its limit: mostly all that there are."""
        moments, head = self.moments, self.head
        high = min(limit, len(moments) if moments[head] > -math.inf else head)
        if not high or moments[head - high] - now + seconds > 0:
            return high
        low, high = 0, high - 1
        while low < high:
            middle = (low + high + 1) // 2
            if moments[head - middle] - now + seconds > 0:
                low = middle
            else:
                high = middle - 1
        return low

    def _grow(self) -> None:
        ordered = self.moments[self.head :] + self.moments[: self.head]
        self.head = len(ordered)
        self.moments = ordered + array("d", [-math.inf]) * self.head


class Logs:
    """The keys of one policy, in two generations: who did nothing for the longest window is forgotten, at no cost.

    The older generation is dropped once a longest window has passed since it became the older one. Whoever is still
    in it was last admitted before that, so that nothing of theirs is live: forgetting them lets nobody off.

    Above `most_keys` new keys share rings by their hash. So memory is bounded, and a flood of invented keys can neither
    push a busy key out nor pass a limit; strangers who share a ring share its limit until the flood is over.
    """

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        self.young: dict[str, Log] = {}
        self._old: dict[str, Log] = {}
        self._turned_at = -math.inf
        self._most_keys = most_keys

    def find(self, key: str, now: float, longest: float) -> Log:
        """The log of a key, a new one where it has none."""
        found = self.young.get(key)
        if found is not None:
            return found
        if now - self._turned_at >= longest:
            self._old, self.young, self._turned_at = self.young, {}, now
        if len(self.young) + len(self._old) >= self._most_keys and key not in self._old:
            key = f"shared\0{hash(key) % _SHARED_LOGS}"
        log = self.young[key] = self._old.pop(key, None) or self.young.get(key) or Log()
        return log


class MemoryLimiter:
    """Every policy's limits in this process, for any number of threads.

    Args:
        clock: Seconds of a clock that is never set; a test brings its own.
        most_keys: Keys of a policy above which new ones share rings.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_keys: int = MOST_KEYS) -> None:
        self._clock = clock
        self._most_keys = most_keys
        self._policies: dict[str, Logs] = {}
        self._lock = threading.Lock()
        _alive.add(self)

    def admit(self, policy: str, key: str, windows: Windows, cost: int = 1) -> bool:
        """Whether there is room, and if so take it. A refusal takes nothing."""
        with self._lock:
            now = self._clock()
            try:
                log = self._policies[policy].young[key]
            except KeyError:
                log = self._find(policy, key, now, windows)
            return log.admit(windows, cost, now)

    def decide(self, claims: Sequence[Claim]) -> Decision:
        """Admit all of the claims or none, and say how each of their windows then stands."""
        with self._lock:
            now = self._clock()
            if len(claims) == 1:  # as most often; it takes three quarters of the time
                _, _, cost, windows = claim = claims[0]
                log = self._find(claim.policy, claim.key, now, windows)
                return log.standings(windows, 0 if log.admit(windows, cost, now) else cost, now)
            logs = [self._find(claim.policy, claim.key, now, claim.windows) for claim in claims]
            pairs = list(zip(logs, claims, strict=True))
            admitted = all(log.wait(claim.windows, claim.cost, now) <= 0 for log, claim in pairs)
            if admitted:
                for log, claim in pairs:
                    log.record(claim.cost, now, claim.windows[-1].seconds)
            return [
                standing
                for log, claim in pairs
                for standing in log.standings(claim.windows, 0 if admitted else claim.cost, now)
            ]

    def forget_threads(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def _find(self, policy: str, key: str, now: float, windows: Windows) -> Log:
        logs = self._policies.get(policy)
        if logs is None:
            logs = self._policies[policy] = Logs(self._most_keys)
        return logs.find(key, now, windows[-1].seconds)


_alive: weakref.WeakSet[MemoryLimiter] = weakref.WeakSet()


def _forget_threads() -> None:
    for limiter in tuple(_alive):
        limiter.forget_threads()


os.register_at_fork(after_in_child=_forget_threads)
