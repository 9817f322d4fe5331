"""What a process's cached functions share: the way to Redis, the memory's bounds, and who is told of purges."""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opsbook.core.log import get_logger
from opsbook.core.redis_link import RedisAway, RedisLink, link_of
from opsbook.performance.cache import flight
from opsbook.performance.cache.backlog import Backlog
from opsbook.performance.cache.courier import Courier
from opsbook.performance.cache.leases import LeaseKeeper
from opsbook.performance.cache.listener import Listener
from opsbook.performance.cache.memory import Budget
from opsbook.performance.cache.names import Names
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.shared_purges import purge_shared
from opsbook.performance.cache.steps import Procedure

if TYPE_CHECKING:
    from opsbook.core.settings import Settings
    from opsbook.performance.cache.function import CachedFunction

PATIENCE_SECONDS = 30.0
"""How long another process's computation is waited for, or any where that holds up an event loop."""
_MOST_REFRESHES = 8
"""Threads that compute behind the callers' backs at the same time."""

log = get_logger(__name__)


class CacheProcess:
    """There is one in a process, `process`; it finds its settings when the first function is called."""

    def __init__(self) -> None:
        self._functions: weakref.WeakSet[CachedFunction] = weakref.WeakSet()
        self._functions_lock = threading.Lock()
        self.budget = Budget(64 * 2**20)
        self.keeper = LeaseKeeper()
        self.patience_seconds = PATIENCE_SECONDS
        self.off = 0
        """How many have switched the cache off at present."""
        self._settings: Settings | None = None
        self._link: RedisLink | None = None
        self._names = Names("development")
        self._renew()

    def configure(self, settings: Settings, link: RedisLink | None = None) -> None:
        """Go by these settings from here on, and not by the environment's; what was remembered is forgotten."""
        if settings == self._settings and link is None:
            return
        self.close()
        self._settings = settings
        self._link = link or link_of(settings)
        self._names = Names(settings.environment)
        self.budget.limit = settings.cache_memory_bytes
        self._renew()
        self.apply(Purge("all"))

    def close(self) -> None:
        """End the threads; for tests, and for a process that is to fork without any."""
        self.listener.stop()
        self.courier.stop()

    @property
    def settings(self) -> Settings:
        """The settings of this process, from the environment where nobody has given any."""
        if self._settings is None:
            with self._lock:
                if self._settings is None:
                    settings = _settings_or_defaults()
                    self._link = link_of(settings)
                    self._names = Names(settings.environment)
                    self.budget.limit = settings.cache_memory_bytes
                    self._settings = settings
        return self._settings

    @property
    def link(self) -> RedisLink | None:
        """The way to Redis; None where there is none."""
        if self._settings is None:
            _ = self.settings
        return self._link

    @property
    def names(self) -> Names:
        return self._names

    @property
    def functions(self) -> Sequence[CachedFunction]:
        """Those that are cached at present, which another thread may add to meanwhile."""
        with self._functions_lock:
            return tuple(self._functions)

    def add(self, function: CachedFunction) -> None:
        """Have purges reach a function, and its counts be reported."""
        with self._functions_lock:
            self._functions.add(function)

    def start(self) -> None:
        """Hear what other processes purge, and report what is counted; does nothing where this process already does."""
        if self._is_started:
            return
        self._is_started = True
        settings = self.settings
        if self._link is not None and settings.redis_url is not None:
            self.listener.start(settings.redis_url.get_secret_value(), self._names.channel, self.sender)
        if settings.url_of("ops") is not None:
            self.courier.start()

    @property
    def may_remember(self) -> bool:
        """Whether what is kept in memory now could be recalled by another process, or there is none to do so."""
        return (
            self.listener.is_hearing or not self.listener.is_started or self._link is None or not self._link.available
        )

    def owes(self, function: str) -> bool:
        """Whether Redis has not been told yet of a purge that may concern the function."""
        return self.owed.concern(function)

    def apply(self, purge: Purge) -> None:
        """Forget in this process's memory."""
        for function in self.functions:
            function.apply(purge)

    def purge(self, purge: Purge) -> Procedure[None]:
        """Forget here, in Redis, and in the memory of every other process."""
        self.apply(purge)
        link = self.link
        if link is None:
            self.courier.tell(purge)
            return
        try:
            yield from purge_shared(link, self._names, purge, self.sender)
        except RedisAway:
            self.owe(purge)
        self.apply(purge)  # also what was fetched from Redis between the two

    def forget_threads(self) -> None:
        """In a forked child: no thread of the parent's is here, and whoever held a lock may be none of us."""
        flight.forget_locks()
        self._functions_lock = threading.Lock()
        self.budget.forget_lock()
        self.keeper.forget()
        was_listening = self.listener.is_started
        self._renew()
        for function in self.functions:
            function.forget_threads()
            if was_listening:
                function.memory.clear()  # nobody would recall it here until a call begins to listen

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """Within this, every function is called each time, in all threads."""
        self.off += 1
        try:
            yield
        finally:
            self.off -= 1

    def owe(self, purge: Purge) -> None:
        """Tell Redis of a purge once it can be told; until then the functions that it concerns go without it."""
        self.owed.add(purge)
        self.courier.wake()

    def _renew(self) -> None:
        self._is_started = False
        self.sender = secrets.token_hex(8)
        self.owed = Backlog()
        self.refreshers = threading.BoundedSemaphore(_MOST_REFRESHES)
        self._lock = threading.Lock()
        self.listener = Listener(self.apply)
        self.courier = Courier(self)


def _settings_or_defaults() -> Settings:
    from opsbook.core.errors import NotConfigured
    from opsbook.core.settings import Settings, load_settings

    try:
        return load_settings()
    except NotConfigured as error:
        # A cached function must work wherever it does without a cache.
        log.warning("cache_not_configured", error=str(error))
        return Settings.model_construct()


process = CacheProcess()
os.register_at_fork(after_in_child=process.forget_threads)
