"""Callers who try to get more than a limit allows, and the judge of whether they did; all on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from opsbook.performance.limits.decision import Window, Windows


class VirtualClock:
    """Seconds that pass when they are told to; in whole milliseconds, so that no rounding blurs a judgement."""

    def __init__(self) -> None:
        self.milliseconds = 1_000_000

    def __call__(self) -> float:
        return self.milliseconds / 1000


@dataclass
class Adversary:
    """One caller with a habit, and what they got through."""

    random: Random
    windows: Windows
    admitted: list[int] = field(default_factory=list[int])

    @classmethod
    def of(cls, seed: int) -> Adversary:
        random = Random(seed)
        seconds = sorted(random.sample([0.05, 0.5, 1, 3, 10], random.choice([1, 2, 2, 3])))
        return cls(random, tuple(Window(random.randint(1, 12), each) for each in seconds))

    def gaps(self, steps: int) -> Iterator[int]:
        """Milliseconds from one attempt to the next: bursts, waits to the edge of a window, steady pressure."""
        habit = self.random.choice(["bursts", "edges", "steady", "any"])
        for _ in range(steps):
            window = self.random.choice(self.windows)
            edge = int(window.seconds * 1000)
            yield {
                "bursts": 0 if self.random.random() < 0.9 else edge,
                "edges": self.random.choice([0, 0, 0, edge - 1, edge, edge + 1]),
                "steady": max(1, edge // window.limit - 1),
                "any": self.random.randint(0, edge),
            }[habit]

    def attack(self, clock: VirtualClock, steps: int, admit: Callable[[int], bool]) -> None:
        """Ask at each step; `admit` gets the cost and says whether it went through."""
        smallest = min(window.limit for window in self.windows)
        for gap in self.gaps(steps):
            clock.milliseconds += gap
            cost = self.random.choice([1, 1, 1, self.random.randint(1, smallest)])
            if admit(cost):
                self.admitted += [clock.milliseconds] * cost

    def excess(self) -> Sequence[str]:
        """Every stretch of a window's length with more than its limit in it."""
        return [
            f"{window}: more from {first} to {last} ms"
            for window in self.windows
            for first, last in zip(self.admitted, self.admitted[window.limit :], strict=False)
            if last - first < window.seconds * 1000
        ]
