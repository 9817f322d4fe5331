"""The seam between the kit and whatever tells it of flags."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from opsbook.flags.exposures.counting import Counts
from opsbook.flags.snapshot import Snapshot


class Receiver(Protocol):
    """What a source delivers to; called from the source's own thread."""

    @property
    def snapshot(self) -> Snapshot:
        """What is being served now."""
        ...

    def receive(self, snapshot: Snapshot) -> None:
        """Serve this from now on."""
        ...


class Source(ABC):
    """Follows the flags in a thread of its own, from `start` until `stop`, through every failure."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A short hash of where it reads from, so that two services never share a file on disk."""

    @abstractmethod
    def start(self, receiver: Receiver) -> None:
        """Begin to follow; returns at once, whatever state the other end is in."""

    @abstractmethod
    def stop(self) -> None:
        """Stop following; waits a moment at most."""

    @abstractmethod
    def report(self, counts: Counts) -> None:
        """Send what this process counted to where it reads from.

        May raise and may wait; it is called from a thread that has nothing else to do.
        """

    @abstractmethod
    def forget_thread(self) -> None:
        """In a forked child: drop what belongs to the parent, so that `start` may be called again."""
