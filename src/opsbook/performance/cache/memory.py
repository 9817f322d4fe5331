"""Results in this process's memory: the least recently used goes first; bounded in entries and in bytes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from cachebox import LRUCache


class Entry(NamedTuple):
    """One result. Moments are of the monotonic clock, so that no step of the wall clock makes old news of it."""

    value: object
    refresh_at: float
    """From here on somebody is to compute it anew, behind the callers' backs."""
    fresh_until: float
    usable_until: float
    """Until here it may be given out, stale."""
    digest: bytes
    tags: Sequence[str]
    size: int
    """Bytes, about."""


class Budget:
    """How many bytes all functions of a process may hold; the largest gives way first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._memories: weakref.WeakSet[Memory] = weakref.WeakSet()
        self.forget_lock()

    def add(self, memory: Memory) -> None:
        with self._lock:
            self._memories.add(memory)

    def make_room(self) -> None:
        """Let the least recently used go until the rest fits."""
        with self._lock:  # a function may be decorated meanwhile, by an import in another thread
            memories = tuple(self._memories)
        while sum(memory.size for memory in memories) > self.limit:
            if not max(memories, key=lambda memory: memory.size).drop_oldest():
                return

    def forget_lock(self) -> None:
        """In a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()


class Memory:
    """One function's results."""

    def __init__(self, most_entries: int, budget: Budget) -> None:
        self._entries: LRUCache[Hashable, Entry] = LRUCache(0)  # we bound it: it would not tell us what it drops
        self._most = most_entries
        self._budget = budget
        self.size = 0
        self.forget_lock()
        self.get: Callable[[Hashable], Entry | None] = self._entries.get
        """Straight into the library, for the fast path."""
        budget.add(self)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: Hashable, entry: Entry) -> None:
        """Keep an entry, unless it alone is larger than all that may be kept."""
        if entry.size > self._budget.limit or not self._most:
            self.drop(key)
            return
        with self._lock:
            while len(self._entries) >= self._most and key not in self._entries:
                self._drop_oldest()
            replaced = self._entries.insert(key, entry)
            self.size += entry.size - (replaced.size if replaced else 0)
        self._budget.make_room()

    def put_off(self, key: Hashable, refresh_at: float) -> None:
        """Have an entry computed anew no sooner; does nothing where it was dropped."""
        with self._lock:
            entry = self.get(key)
            if entry is not None:
                self._entries.insert(key, entry._replace(refresh_at=min(refresh_at, entry.usable_until)))

    def drop(self, key: Hashable) -> None:
        with self._lock:
            entry = self._entries.pop(key, None)
            self.size -= entry.size if entry else 0

    def drop_where(self, matches: Callable[[Entry], bool]) -> None:
        """Drop what matches: a look at each, for purges are rare and an index would cost every call."""
        with self._lock:
            for key in [key for key, entry in self._snapshot() if matches(entry)]:
                if (entry := self._entries.pop(key, None)) is not None:
                    self.size -= entry.size

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self.size = 0

    def drop_oldest(self) -> bool:
        """Drop the least recently used entry; says whether there was one."""
        with self._lock:
            return self._drop_oldest()

    def forget_lock(self) -> None:
        """In a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()

    def _snapshot(self) -> Sequence[tuple[Hashable, Entry]]:
        """All entries. To read one reorders the rest, which may happen in between: then it is begun anew."""
        while True:
            try:
                return list(self._entries.items())
            except RuntimeError:
                continue

    def _drop_oldest(self) -> bool:
        if not len(self._entries):
            return False
        self.size -= self._entries.popitem()[1].size
        return True
