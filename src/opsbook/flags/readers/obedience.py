"""How far a revision has come: which of the processes that follow the flags serve it, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from opsbook.web.display import duration

Kind = Literal["postgres", "http"]


@dataclass(frozen=True, slots=True)
class Reader:
    """A process that follows the flags, as it was last heard of."""

    id: UUID
    host: str
    pid: int
    name: str
    """The program that it is."""
    kind: Kind
    """How it follows: straight from the ops database, or a server's stream."""
    revision: int
    obeys: bool
    """Whether it serves the revision that was asked about, or a later one."""
    confirmed_at: datetime
    lag_ms: float | None
    """From the revision's entry in the history, just before the commit, until it served it; None for its first."""
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Obedience:
    """Who serves a revision, of all who follow the flags."""

    revision: int
    readers: Sequence[Reader]

    @property
    def obeying(self) -> int:
        """How many serve it, or a later one."""
        return sum(reader.obeys for reader in self.readers)

    @property
    def behind(self) -> Sequence[Reader]:
        """Those that serve an earlier one, as far as is known."""
        return [reader for reader in self.readers if not reader.obeys]

    @property
    def slowest_ms(self) -> float | None:
        """How long the last took to serve this very revision; None where all have gone on since."""
        lags = [each.lag_ms for each in self.readers if each.revision == self.revision and each.lag_ms is not None]
        return max(lags, default=None)

    def in_words(self) -> str:
        """As a person is told, in half a sentence."""
        if not self.readers:
            return "no worker follows the flags"
        workers = "worker" if len(self.readers) == 1 else "workers"
        slowest = "" if self.slowest_ms is None else f", slowest {duration(self.slowest_ms / 1000)}"
        return f"obeyed by {self.obeying} of {len(self.readers)} {workers}{slowest}"
