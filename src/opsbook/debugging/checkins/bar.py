"""A monitor's last runs as a bar, the oldest first: one stripe a run, in words for who cannot see it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

RUNS: Final = 30
_WORDS: Final = {
    "ok": "ok",
    "error": "in error",
    "missed": "missed",
    "timed_out": "timed out",
    "in_progress": "in progress",
}


@dataclass(frozen=True, slots=True)
class Stripe:
    """One run: where it stands, from 0 on, how it went, and in words."""

    place: int
    status: str
    words: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The stripes, and all of them in words."""

    stripes: Sequence[Stripe]
    words: str


def bar_of(runs: Sequence[Mapping[str, Any]]) -> Bar:
    """The bar of a monitor's newest runs, as they come from the store: the newest first."""
    oldest_first = list(reversed(runs[:RUNS]))
    stripes = [
        Stripe(place, run["status"], _in_words(run)) for place, run in enumerate(oldest_first, RUNS - len(oldest_first))
    ]
    counted = Counter(run["status"] for run in oldest_first)
    words = ", ".join(f"{counted[status]} {word}" for status, word in _WORDS.items() if counted[status])
    return Bar(stripes, f"last {len(stripes)} runs: {words}" if stripes else "no runs yet")


def _in_words(run: Mapping[str, Any]) -> str:
    began: datetime = run["started_at"]
    seconds = run["duration_seconds"]
    length = f", {seconds:.1f} s" if seconds is not None else ""
    return f"{began.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {_WORDS[run['status']]}{length}"
