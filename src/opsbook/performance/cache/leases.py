"""Keeps the leases of computations that take their time, and lets those of dead processes lapse.

A lease lasts five seconds and is renewed while its holder lives: who is killed in the middle is
replaced within that time, and who takes minutes is not.
"""

from __future__ import annotations

import threading

from opsbook.core.redis_link import RedisAway, RedisLink

LEASE_MILLISECONDS = 5_000
_RENEW_SECONDS = 1.5

_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"


class LeaseKeeper:
    """One process's leases, and the thread that renews them; it starts with the first lease."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """In a forked child: the leases are the parent's, and so was the thread."""
        self._held: dict[bytes, tuple[RedisLink, str]] = {}
        self._some = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, link: RedisLink, key: str, token: bytes) -> None:
        """Renew a lease from now on."""
        with self._lock:
            self._held[token] = (link, key)
            self._some.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="opsbook cache leases", daemon=True)
                self._thread.start()

    def let_go(self, token: bytes) -> None:
        """Renew it no more."""
        with self._lock:
            self._held.pop(token, None)
            if not self._held:
                self._some.clear()

    def _run(self) -> None:
        rest = threading.Event()
        while self._some.wait():
            rest.wait(_RENEW_SECONDS)
            for token, (link, key) in list(self._held.items()):
                try:
                    link.call(lambda client: client.eval(_RENEW, 1, key, token, LEASE_MILLISECONDS))  # noqa: B023
                except RedisAway:
                    break  # it lapses, and its holder's result stays with its holder
