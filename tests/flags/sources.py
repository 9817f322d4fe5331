"""A source that says what the test tells it to."""

from __future__ import annotations

from opsbook.flags.exposures.counting import Counts
from opsbook.flags.sources.interface import Receiver, Source


class Scripted(Source):
    """Delivers nothing by itself; the test delivers by `Flags.receive`."""

    def __init__(self, *, broken: bool = False) -> None:
        self._broken = broken

    @property
    def identity(self) -> str:
        return "scripted"

    def start(self, receiver: Receiver) -> None:
        if self._broken:
            raise RuntimeError("can't start new thread")

    def stop(self) -> None:
        pass

    def report(self, counts: Counts) -> None:
        pass

    def forget_thread(self) -> None:
        pass
