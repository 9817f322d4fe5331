"""Counts a process's evaluations, and hands the counts to its source every ten seconds."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger

if TYPE_CHECKING:
    from opsbook.flags.sources.interface import Source

Counts: TypeAlias = Mapping[tuple[str, str], int]
"""How often, by the flag's name and the variant that it was."""

_EVERY_SECONDS = 10.0

log = get_logger(__name__)


class Exposures:
    """One process's counts, and the thread that reports them.

    Counting takes no lock: threads that count the same flag in the same instant may lose a
    count to one another, and so may one that counts while the counts are taken. A process that
    is killed loses those of its last ten seconds. A report that fails is added to the next.
    """

    def __init__(self, source: Source) -> None:
        self.counts: dict[tuple[str, str], int] = defaultdict(int)
        """To be counted up by whoever evaluates; replaced at each report, so not to be kept."""
        self._source = source
        self._failing = False
        self._prepare()

    def start(self) -> None:
        """Begin to report; does nothing where this process already does."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="opsbook exposures", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Report what is left, and end."""
        self._stop.set()
        self.report()

    def forget_thread(self) -> None:
        """In a forked child: start from zero, for the parent reports what it has counted."""
        self.counts = defaultdict(int)
        self._prepare()

    def report(self) -> None:
        """Hand over what was counted since the last time; never raises."""
        with self._lock:
            taken, self.counts = self.counts, defaultdict(int)
            # A copy, for a thread that took hold of the old counts may still be adding to them.
            counts = dict(taken)
            if not counts:
                return
            try:
                self._source.report(counts)
                self._failing = False
            except Exception as error:
                # The service must not suffer for want of a count; it is tried again with the next.
                for seen, count in counts.items():
                    self.counts[seen] += count
                if not self._failing:
                    log.warning("flag_exposures_not_reported", error=str(error) or type(error).__name__)
                self._failing = True

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def _run(self) -> None:
        # At different moments, so that fifty workers do not all come at once.
        wait = jitter(0, _EVERY_SECONDS)
        stop = self._stop
        while not stop.wait(wait):
            self.report()
            wait = _EVERY_SECONDS
