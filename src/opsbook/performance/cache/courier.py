"""Carries what can wait: purges that Redis could not be told of, purges for the ops database, and statistics."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import psycopg

from opsbook.core.errors import OpsbookError
from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.redis_link import RedisAway
from opsbook.performance.cache import reporting
from opsbook.performance.cache.backlog import Backlog
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.shared_purges import purge_shared
from opsbook.performance.cache.steps import carry_out

if TYPE_CHECKING:
    from opsbook.performance.cache.process import CacheProcess

_EVERY_SECONDS = 10.0
_RETRY_SECONDS = 0.25
_PATIENCE_SECONDS = 2.0


log = get_logger(__name__)


class Courier:
    """One process's daemon thread; it neither raises nor keeps a caller waiting."""

    def __init__(self, process: CacheProcess) -> None:
        self._process = process
        self._waiting = Backlog()
        self._wake = threading.Event()
        self._stop = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._reporting = threading.Lock()
        self._is_failing = False

    def start(self) -> None:
        """Begin; does nothing where this process already has."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="opsbook cache courier", daemon=True)
                thread.start()
                self._thread = thread

    def stop(self) -> None:
        """End the thread after what it does at the moment."""
        self._stop = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def tell(self, purge: Purge) -> None:
        """Have the other processes told by the ops database."""
        self._waiting.add(purge)
        self.wake()

    def wake(self) -> None:
        """Have it look now for what is to be carried."""
        self.start()
        self._wake.set()

    def report(self) -> None:
        """Hand over what waits and what was counted since the last time; never raises."""
        try:
            url = self._process.settings.url_of("ops")
            if url is not None:
                self._hand_over(url)
            self._is_failing = False
        except (psycopg.Error, OpsbookError, OSError) as error:
            # The service must not suffer for want of a count; it is tried again.
            if not self._is_failing:
                log.warning("cache_not_reported", error=str(error) or type(error).__name__)
            self._is_failing = True

    def _hand_over(self, url: str) -> None:
        # One at a time, for also a server that ends asks for it, and that must not wait for a frozen database.
        if not self._reporting.acquire(timeout=_PATIENCE_SECONDS):
            return
        try:
            purges = self._waiting.purges
            reporting.report(url, f"{socket.gethostname()}:{os.getpid()}", self._process.functions, purges)
            self._waiting.told(purges)
        finally:
            self._reporting.release()

    def _run(self) -> None:
        # At different moments, so that fifty workers do not all come at once.
        report_at = time.monotonic() + jitter(0, _EVERY_SECONDS)
        while not self._stop:
            is_pressing = self._process.owed or (self._waiting and self._is_failing)
            self._wake.wait(_RETRY_SECONDS if is_pressing else max(0.0, report_at - time.monotonic()))
            self._wake.clear()
            self._settle()
            if self._waiting or time.monotonic() >= report_at:
                self.report()
                report_at = time.monotonic() + _EVERY_SECONDS

    def _settle(self) -> None:
        """Tell Redis what it could not be told before."""
        process, link = self._process, self._process.link
        while (owed := process.owed.purges[:1]) and link is not None and link.available:
            try:
                carry_out(purge_shared(link, process.names, owed[0], process.sender), lambda: None)
            except RedisAway:
                return
            process.owed.told(owed)
