"""What benchmarks beside peers share: rounds in turns, so that a busy moment hits all alike, and the printed line."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping

Round = Callable[[], object]
AsyncRound = Callable[[], Awaitable[object]]


def in_turns(contestants: Mapping[str, Round], *, rounds: int, calls: int) -> dict[str, float]:
    """Microseconds a call of each contestant, whose round is so many calls: the median of its rounds."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - began) / calls * 1e6)
    return {name: statistics.median(taken) for name, taken in times.items()}


async def in_turns_async(contestants: Mapping[str, AsyncRound], *, rounds: int, calls: int) -> dict[str, float]:
    """The same in an event loop."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            await run()
            times[name].append((time.perf_counter() - began) / calls * 1e6)
    return {name: statistics.median(taken) for name, taken in times.items()}


def share(name: str, what: str, ours: float, peer: str, theirs: float, most: float | None) -> None:
    """Print what part of a peer's time ours is, which is to be `most` or less, and how many times faster that is."""
    beside = f"{peer} {theirs:.3g} µs, ours {ours:.3g} µs"
    figure(name, what, ours / theirs, "×", most, peer=beside, ratio=round(theirs / ours, 2))


def figure(name: str, what: str, value: float, unit: str, target: float | None = None, **beside: str | float) -> None:
    """Print a figure as run.py reads it; a target is an upper bound."""
    told = {"name": name, "what": what, "value": round(value, 3), "unit": unit, "target": target}
    print(json.dumps({**told, **beside}), flush=True)
