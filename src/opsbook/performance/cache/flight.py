"""One flight a key: of callers that miss at the same time, one computes and the others wait for its result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

ABANDONED = object()
"""The outcome of a flight whose leader was cancelled: whoever waited tries again."""


class Flight:
    """A computation under way."""

    def __init__(self, digest: bytes, tags: Sequence[str]) -> None:
        self.digest = digest
        self.tags = tags
        self._outcome: Future[object] | None = None
        self._landed: Callable[[Future[object]], None] | None = None
        self.is_current = True
        """Whether its result may be kept: not once somebody has invalidated what it may have read."""
        self.waiting = 0
        """Callers that want the result; in an event loop it is cancelled when the last one is."""
        self.task: asyncio.Task[object] | None = None
        self.needs: list[Flight] = []
        """The flights that its computation waits for."""

    @property
    def outcome(self) -> Future[object]:
        """What is to come, for those who wait; made when the first of them asks, for mostly nobody does."""
        with _outcomes_lock:
            if self._outcome is None:
                self._outcome = Future()
                if self._landed is not None:
                    self._landed(self._outcome)
            return self._outcome

    @property
    def is_over(self) -> bool:
        return self._landed is not None

    @property
    def is_stranded(self) -> bool:
        """Whether its event loop was closed under it, so that nothing will come of it."""
        return self.task is not None and self.task.get_loop().is_closed()

    def land(self, value: object) -> None:
        """Give the result to those who wait."""
        self._end(lambda outcome: outcome.set_result(value))

    def fail(self, error: BaseException) -> None:
        """Give the error to those who wait; where it is no fault of the function, have them try again."""
        if isinstance(error, Exception):
            self._end(lambda outcome: outcome.set_exception(error))
        else:
            self.land(ABANDONED)

    def _end(self, tell: Callable[[Future[object]], None]) -> None:
        with _outcomes_lock:
            if self._landed is None:
                self._landed = tell
                if self._outcome is not None:
                    tell(self._outcome)


_leading: ContextVar[tuple[Flight, ...]] = ContextVar("opsbook_cache_flights", default=())
"""The flights whose computation runs in this context, the outermost first."""
_needs_lock = threading.Lock()
_outcomes_lock = threading.RLock()
"""Reentrant, for what hears of an outcome may ask for another."""


class Flights:
    """One function's flights."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """In a forked child: their leaders are not here."""
        self._lock = threading.Lock()
        self._by_key: dict[Hashable, Flight] = {}

    def join(self, key: Hashable, make: Callable[[], Flight]) -> tuple[Flight, bool]:
        """The flight for a key, and whether the caller is to lead it."""
        with self._lock:
            flight = self._by_key.get(key)
            if flight is not None and not flight.is_stranded:
                return flight, False
            flight = self._by_key[key] = make()
            return flight, True

    def over(self, key: Hashable, flight: Flight) -> None:
        """Whoever comes from here on begins a new one."""
        with self._lock:
            if self._by_key.get(key) is flight:
                del self._by_key[key]

    def ground(self, matches: Callable[[Flight], bool]) -> None:
        """Let no result of the matching flights be kept, and nobody else join them."""
        with self._lock:
            for key, flight in list(self._by_key.items()):
                if matches(flight):
                    flight.is_current = False
                    del self._by_key[key]


@contextmanager
def leading(flight: Flight) -> Iterator[None]:
    """Within this, the flight's function runs."""
    token = _leading.set((*_leading.get(), flight))
    try:
        yield
    finally:
        _leading.reset(token)


@contextmanager
def waiting_for(flight: Flight) -> Iterator[bool]:
    """Within this the caller may wait for a flight; gives False where it would wait for itself.

    A function that calls itself with the same arguments would; so would two that call each other, in two threads.
    """
    ours = _leading.get()
    if not ours:
        yield True
        return
    with _needs_lock:
        may_wait = not _reaches(flight, ours)
        if may_wait:
            for each in ours:
                each.needs.append(flight)
    try:
        yield may_wait
    finally:
        if may_wait:
            with _needs_lock:
                for each in ours:
                    each.needs.remove(flight)


def _reaches(flight: Flight, ours: Sequence[Flight]) -> bool:
    pending, seen = [flight], set[int]()
    while pending:
        each = pending.pop()
        if any(each is one for one in ours):
            return True
        if id(each) not in seen:
            seen.add(id(each))
            pending += each.needs
    return False


def forget_locks() -> None:
    """In a forked child: a thread of the parent may have held them."""
    global _needs_lock, _outcomes_lock  # noqa: PLW0603
    _needs_lock = threading.Lock()
    _outcomes_lock = threading.RLock()


def outcome_of(flight: Flight, patience_seconds: float | None) -> Any:
    """Wait for a flight from a thread; `ABANDONED` where it takes longer than that, if there is a limit.

    Raises:
        Exception: What the function raised.
    """
    try:
        return flight.outcome.result(patience_seconds)
    except TimeoutError:
        if flight.is_over:
            raise  # the function's own
        return ABANDONED
