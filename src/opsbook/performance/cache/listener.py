"""Hears from Redis what other processes have purged, and drops it from this process's memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import redis
from redis.client import PubSub

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.redis_link import UNREADABLE
from opsbook.performance.cache.purges import Purge, decode

_PING_SECONDS = 1.0
_SILENCE_SECONDS = 3.0
"""A connection on which not even pings are answered is as good as lost."""
_LONGEST_PAUSE_SECONDS = 2.0


log = get_logger(__name__)


class Listener:
    """One process's ear: a daemon thread with a connection of its own.

    What was told while the connection was lost is not told again, so with it goes the whole memory.
    """

    def __init__(self, apply: Callable[[Purge], None]) -> None:
        self._apply = apply
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.is_hearing = False
        """Whether what is told at present would be heard."""

    @property
    def is_started(self) -> bool:
        return self._thread is not None

    def start(self, url: str, channel: str, ignored_sender: str) -> None:
        """Begin to listen; does nothing where that has happened."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                arguments = (url, channel, ignored_sender)
                self._thread = threading.Thread(target=self._run, args=arguments, name="opsbook cache", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Have the thread end, which it does within a fraction of a second."""
        self._stop.set()

    def _run(self, url: str, channel: str, ignored_sender: str) -> None:
        attempt = 0
        while not self._stop.is_set():
            try:
                with (
                    redis.Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=1.0) as client,
                    client.pubsub() as subscription,
                ):
                    subscription.subscribe(channel)
                    attempt = 0
                    self._hear(subscription, ignored_sender)
            except (redis.RedisError, OSError, *UNREADABLE) as error:
                log.debug("cache_listener_disconnected", error=type(error).__name__)
                attempt += 1
            finally:
                self.is_hearing = False
            # Full jitter, so that fifty workers do not all return to a restarted Redis at once.
            self._stop.wait(jitter(0.01, min(_LONGEST_PAUSE_SECONDS, 0.1 * 2**attempt)))

    def _hear(self, subscription: PubSub, ignored_sender: str) -> None:
        heard_at = pinged_at = time.monotonic()
        while not self._stop.is_set():
            message = subscription.get_message(timeout=0.25)
            now = time.monotonic()
            if message is not None:
                heard_at = now
                if message["type"] == "subscribe":
                    self._apply(Purge("all"))
                    self.is_hearing = True
                told = decode(message["data"]) if message["type"] == "message" else None
                if told is not None and told.sender != ignored_sender:
                    self._apply(told.purge)
            elif now - pinged_at > _PING_SECONDS:
                pinged_at = now
                subscription.ping()
            if now - heard_at > _SILENCE_SECONDS:
                raise TimeoutError("no answer to pings")
