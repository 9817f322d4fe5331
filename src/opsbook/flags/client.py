"""The kit: is a flag on? Answered from memory, whatever has become of every server.

`Flags` never raises and never blocks. It follows its source in the background, keeps the last
state on disk, and works on in a forked child without hooks of the user's.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from opsbook.core.log import get_logger
from opsbook.flags.evaluation import ERROR, FLAG_NOT_FOUND, INVALID_CONTEXT, Evaluation, evaluate
from opsbook.flags.exposures.counting import Exposures
from opsbook.flags.keeper import Keeper
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.interface import Source
from opsbook.flags.targeting.context import TARGETING_KEY

log = get_logger(__name__)

_NOT_FOUND = Evaluation(False, False, None, ERROR, FLAG_NOT_FOUND)
_INVALID = Evaluation(False, False, None, ERROR, INVALID_CONTEXT)

Listener = Callable[[Snapshot], None]


class Flags:
    """One process's view of the flags. Make one, keep it; it starts by itself when first asked."""

    def __init__(self, source: Source, folder: Path | None = None) -> None:
        self._source = source
        self._keeper = Keeper(folder / f"flags-{source.identity}.json" if folder else None)
        self._exposures = Exposures(source)
        self._snapshot = self._keeper.remembered()
        self._listeners: tuple[Listener, ...] = ()
        self._started = False
        self._ready = threading.Event()
        self._lock = threading.Lock()
        _alive.add(self)

    @classmethod
    def from_env(cls) -> Flags:
        """Flags from OPSBOOK_URL and OPSBOOK_TOKEN, else from OPSBOOK_DATABASE_URL or `opsbook up`'s database.

        Raises:
            NotConfigured: The environment names neither.
        """
        from opsbook.core.settings import load_settings

        settings = load_settings()
        folder = settings.home / "snapshots"
        if settings.url and settings.token:
            from opsbook.flags.sources.http import HttpSource

            return cls(HttpSource(settings.url, settings.token.get_secret_value()), folder)
        from opsbook.flags.sources.postgres import PostgresSource

        return cls(PostgresSource(settings.require_url("ops")), folder)

    def enabled(
        self, name: str, user_id: object = None, default: bool = False, context: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether the flag is on for that user; `default` for a flag that does not exist.

        Args:
            name: The flag's.
            user_id: The targeting key; anything that has a text.
            default: What a flag that does not exist is.
            context: Other fields that the flag's rules may ask for.
        """
        try:
            fields: Mapping[str, Any] = context or {}
            if user_id is not None:
                fields = {**fields, TARGETING_KEY: user_id if isinstance(user_id, str) else str(user_id)}
        except Exception:
            # The promise is that asking never takes the service down, whatever the caller passes.
            return False
        result = self._evaluate(name, fields)
        return default if result is None else result.enabled

    def evaluate(self, name: str, context: Mapping[str, Any] | None = None) -> Evaluation:
        """The flag's value with its reason, for a context whose `targetingKey` says who."""
        return self._evaluate(name, {} if context is None else context) or _NOT_FOUND

    @property
    def snapshot(self) -> Snapshot:
        """What is being served now."""
        return self._snapshot

    @property
    def ready(self) -> bool:
        """Whether the source has been heard in this process; before, memory holds the disk's state or nothing."""
        return self._ready.is_set()

    def wait_until_ready(self, timeout: float) -> bool:
        """Wait, at most so many seconds, until the source has been heard."""
        self.start()
        return self._ready.wait(timeout)

    def start(self) -> None:
        """Begin to follow the source; returns at once."""
        with self._lock:
            if not self._started:
                self._started = True
                self._source.start(self)
                self._exposures.start()

    def close(self) -> None:
        """Stop following; what is in memory is served on."""
        with self._lock:
            self._source.stop()
        self._exposures.stop()
        self._keeper.flush()

    def report_exposures(self) -> None:
        """Send now what was counted since the last time, which otherwise happens every ten seconds; never raises."""
        self._exposures.report()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Be told, in the source's thread, of each new snapshot; gives the undo."""
        self._listeners = (*self._listeners, listener)

        def unlisten() -> None:
            self._listeners = tuple(kept for kept in self._listeners if kept is not listener)

        return unlisten

    def receive(self, snapshot: Snapshot) -> None:
        """Serve this from now on; for the source."""
        changed = snapshot is not self._snapshot
        self._snapshot = snapshot
        self._ready.set()
        if changed:
            for listener in self._listeners:
                self._tell(listener, snapshot)
            self._keeper.keep(snapshot)

    def _tell(self, listener: Listener, snapshot: Snapshot) -> None:
        try:
            listener(snapshot)
        except Exception:
            # One listener's defect must neither silence the others nor end the source's thread.
            log.exception("flag_listener_failed")

    def _evaluate(self, name: str, context: Mapping[str, Any]) -> Evaluation | None:
        try:
            if not self._started:
                self.start()
            flags = self._snapshot.flags
            compiled = flags.get(name)
            if compiled is None:
                return None
            found = evaluate(compiled, context, flags)
            self._exposures.counts[name, found.variant or "off"] += 1
            return found
        except Exception as error:
            # As above.
            log.warning("flag_evaluation_failed", error=type(error).__name__)
            return _INVALID

    def forget_threads(self) -> None:
        """In a forked child: serve on from memory, and follow anew when next asked."""
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._started = False
        self._keeper.forget_thread()
        self._exposures.forget_thread()
        self._source.forget_thread()


_alive: weakref.WeakSet[Flags] = weakref.WeakSet()


def _forget_threads() -> None:
    for flags in tuple(_alive):
        flags.forget_threads()


os.register_at_fork(after_in_child=_forget_threads)
