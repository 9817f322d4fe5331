"""The level that processes share: one entry a call in Redis, computed by one process at a time.

A hit is one round trip: the entry comes together with the generations that it hangs on. A purge changes a
generation, which ends all entries of a function or tag at once, and those that were being computed meanwhile.
Who computes holds a lease, and stores only while holding it; `invalidate` takes it away.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from opsbook.core.jitter import jitter
from opsbook.core.redis_link import RedisAway, RedisLink
from opsbook.performance.cache.envelope import Envelope, Lifetime, pack, unpack
from opsbook.performance.cache.leases import LEASE_MILLISECONDS, LeaseKeeper
from opsbook.performance.cache.names import Names
from opsbook.performance.cache.steps import Ask, Fetch, Pause, Procedure
from opsbook.performance.cache.values import Codec, Unreadable

_SPARE_MILLISECONDS = 60_000
"""How much longer a generation lasts than the entries that hang on it."""
_FIRST_LOOK_SECONDS = 0.002
_LONGEST_LOOK_SECONDS = 0.05

# In this order: whoever gets the lease sees what its last holder stored.
_LEASE = """
local taken = redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2])
return {taken and 1 or 0, redis.call('mget', unpack(KEYS, 2))}
"""
# The value is stored by whoever still holds the lease, and only where nothing that it hangs on was purged meanwhile.
_STORE = """
if redis.call('get', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('del', KEYS[2])
for i = 3, #KEYS do
    if redis.call('get', KEYS[i]) ~= ARGV[i + 2] then return 0 end
    redis.call('pexpire', KEYS[i], ARGV[4])
end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return 1
"""
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class Found(NamedTuple):
    """A value from Redis, and how long it still lasts."""

    value: object
    lifetime: Lifetime
    size: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to compute and store an entry."""

    token: bytes
    generations: list[bytes | None]


class SharedLevel:
    """One function's entries in Redis."""

    def __init__(self, link: RedisLink, names: Names, function: str, codec: Codec, lifetime_seconds: float) -> None:
        self.link = link
        self._names = names
        self._function = function
        self._codec = codec
        self._lifetime = lifetime_seconds
        self._generation_milliseconds = int(2 * lifetime_seconds * 1000) + _SPARE_MILLISECONDS

    def look(self, digest: bytes, tags: Sequence[str]) -> Procedure[Found | None]:
        """The value, where there is a usable one."""
        keys = [self._names.entry(self._function, digest), *self._names.generations(self._function, tags)]
        data, *generations = yield Fetch(self.link, keys)
        return self._opened(unpack(data, self._codec.fingerprint, generations))

    def found_or_leased(
        self, digest: bytes, tags: Sequence[str], keeper: LeaseKeeper, patience_seconds: float, fresher_than: float
    ) -> Procedure[Found | Lease | None]:
        """What another process has computed meanwhile, or the lease to compute it here; None after long patience.

        Args:
            digest: Of the call.
            tags: Of the call.
            keeper: Renews the lease while it is held.
            patience_seconds: How long to wait for another process.
            fresher_than: For how many seconds a value must be fresh to do.
        """
        keys = [self._names.entry(self._function, digest), *self._names.generations(self._function, tags)]
        lease_key = self._names.lease(self._function, digest)
        token = secrets.token_bytes(12)
        give_up_at = time.monotonic() + patience_seconds
        pause = _FIRST_LOOK_SECONDS
        while True:
            reply = yield Ask(
                self.link,
                lambda client: client.eval(_LEASE, 1 + len(keys), lease_key, *keys, token, LEASE_MILLISECONDS),
            )
            taken, data, generations = _told(reply, 1 + len(tags))
            found = self._opened(unpack(data, self._codec.fingerprint, generations))
            is_good = found is not None and found.lifetime.fresh > fresher_than
            if taken and not is_good:
                generations = yield from self._present(generations, tags)
            if taken and not is_good and None not in generations:
                keeper.keep(self.link, lease_key, token)
                return Lease(token, generations)
            if taken:
                yield from self.release(digest, token)
            if taken or is_good or time.monotonic() >= give_up_at:
                return found if is_good else None
            yield Pause(pause * jitter(0.5, 1.0))
            pause = min(_LONGEST_LOOK_SECONDS, pause * 1.5)

    def store(
        self, digest: bytes, tags: Sequence[str], lease: Lease, payload: bytes, lifetime: Lifetime
    ) -> Procedure[bool]:
        """Share a value; says whether it was, which it is not once it or what it hangs on was purged."""
        names = self._names
        keys = [
            names.entry(self._function, digest),
            names.lease(self._function, digest),
            *names.generations(self._function, tags),
        ]
        data = pack(payload, self._codec.fingerprint, lease.generations, lifetime, time.time())
        milliseconds = (max(1, int(lifetime.usable * 1000)), self._generation_milliseconds)
        arguments = [*keys, lease.token, data, *milliseconds, *lease.generations]
        return bool((yield Ask(self.link, lambda client: client.eval(_STORE, len(keys), *arguments))))

    def release(self, digest: bytes, token: bytes) -> Procedure[None]:
        """Let somebody else compute it."""
        key = self._names.lease(self._function, digest)
        yield Ask(self.link, lambda client: client.eval(_RELEASE, 1, key, token))

    def _present(self, generations: list[bytes | None], tags: Sequence[str]) -> Procedure[list[bytes | None]]:
        """The generations, made where there are none: an entry without one would survive a purge."""
        keys = self._names.generations(self._function, tags)
        missing = [key for key, generation in zip(keys, generations, strict=True) if generation is None]
        if not missing:
            return generations
        yield Ask(self.link, lambda client: client.sadd(self._names.functions, self._function))
        yield Ask(self.link, lambda client: _make(client, missing, self._generation_milliseconds))
        return list((yield Fetch(self.link, keys)))

    def _opened(self, envelope: Envelope | None) -> Found | None:
        if envelope is None:
            return None
        now = time.time()
        # By another machine's clock: what it says counts no longer than our own ttl would.
        usable = min(envelope.usable_until / 1000 - now, self._lifetime)
        if usable <= 0:
            return None
        try:
            value = self._codec.decode(envelope.payload)
        except Unreadable:
            return None
        fresh = min(envelope.fresh_until / 1000 - now, self._lifetime)
        return Found(value, Lifetime(fresh, usable, envelope.computing_seconds), len(envelope.payload))


def _told(reply: Any, count: int) -> tuple[bool, bytes | None, list[bytes | None]]:
    """Whether the lease was taken, the entry, and so many generations."""
    match reply:
        case [taken, [data, *generations]] if len(generations) == count:
            return taken == 1, data, generations
        case _:
            raise RedisAway("this is no answer to the question for a lease")


def _make(client: Any, keys: Sequence[str], milliseconds: int) -> Any:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.set(key, secrets.token_bytes(12), nx=True, px=milliseconds)
    return pipeline.execute()
