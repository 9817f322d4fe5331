"""The log levels that operators have set for a while: obeyed by this process, and taken back by its own clock."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg.rows import dict_row

from opsbook.core.bus import Bus, SyncConnection
from opsbook.core.log import get_logger
from opsbook.core.queries import load_queries

_QUERIES = load_queries("opsbook.debugging.logs")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SetLevel:
    """A level in force; `root` is the logger of all loggers."""

    logger: str
    level: str
    ends_at: float
    """By this process's monotonic clock, which no change of the time of day moves."""


class LogLevels:
    """What this process's loggers are set to by operators, and what each was before. The bus may not be started yet."""

    def __init__(self, bus: Bus) -> None:
        self._set: dict[str, SetLevel] = {}
        self._before: dict[str, int] = {}
        self._prepare()
        bus.subscribe("log_levels", self._hear)
        _alive.add(self)

    def close(self) -> None:
        """Put every level back."""
        self.obey(())

    def obey(self, levels: Iterable[SetLevel]) -> None:
        """Have exactly these in force."""
        with self._lock:
            wanted = {each.logger: each for each in levels}
            for name in self._set.keys() - wanted.keys():
                self._put_back(name)
            for each in wanted.values():
                self._put(each)
            self._set = wanted
            self._wait_for_next_end()

    def forget_thread(self) -> None:
        """In a forked child: the parent's timer is not here."""
        self._prepare()
        if self._set:
            self._wait_for_next_end()

    def _prepare(self) -> None:
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None

    def _hear(self, connection: SyncConnection, _revision: int) -> None:
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_QUERIES["levels"]).fetchall()
        now = time.monotonic()
        # The seconds that are left are the database's to say: this machine's clock may be wrong.
        self.obey(SetLevel(row["logger"], row["level"], now + row["seconds_left"]) for row in rows)

    def _put(self, wanted: SetLevel) -> None:
        logger = _logger(wanted.logger)
        held = self._set.get(wanted.logger)
        self._before.setdefault(wanted.logger, logger.level)
        logger.setLevel(wanted.level)
        if held is None or held.level != wanted.level:
            log.info("log_level_set", target=wanted.logger, to=wanted.level)

    def _put_back(self, name: str) -> None:
        before = self._before.pop(name, logging.NOTSET)
        log.info("log_level_back", target=name, to=logging.getLevelName(before))
        _logger(name).setLevel(before)

    def _wait_for_next_end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._set:
            left = min(each.ends_at for each in self._set.values()) - time.monotonic()
            self._timer = threading.Timer(max(0.0, left), self._end_due)
            self._timer.daemon = True
            self._timer.start()

    def _end_due(self) -> None:
        with self._lock:
            now = time.monotonic()
            self.obey([each for each in self._set.values() if each.ends_at > now])


def _logger(name: str) -> logging.Logger:
    return logging.getLogger(None if name == "root" else name)


_alive: weakref.WeakSet[LogLevels] = weakref.WeakSet()


def _forget_threads() -> None:
    for levels in tuple(_alive):
        levels.forget_thread()


os.register_at_fork(after_in_child=_forget_threads)
