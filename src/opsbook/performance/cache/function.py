"""One cached function: how a call's result is found, computed by one caller for all, kept and forgotten."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from opsbook.core.log import get_logger
from opsbook.core.redis_link import RedisAway
from opsbook.performance.cache import keys
from opsbook.performance.cache.envelope import Lifetime
from opsbook.performance.cache.flight import ABANDONED, Flight, Flights
from opsbook.performance.cache.freshness import refresh_ahead
from opsbook.performance.cache.memory import Entry, Memory
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.shared import Found, Lease, SharedLevel
from opsbook.performance.cache.sizes import size_of
from opsbook.performance.cache.statistics import Counts, Statistics
from opsbook.performance.cache.steps import COMPUTE, Procedure
from opsbook.performance.cache.values import CannotTravel, Codec, codec_of

if TYPE_CHECKING:
    from opsbook.performance.cache.process import CacheProcess

_RETRY_REFRESH_SECONDS = 1.0
"""How long a result that could not be computed anew is left alone, however many ask for it."""
_SOONEST_REFRESH_SECONDS = 0.02
"""How long it is left alone at least."""
_IN_MEMORY = 4
"""A value's size in memory, by that of its bytes in Redis; about, for to measure it would double the cost of a hit."""
_SAME_MOMENT_SECONDS = 0.01
"""Two ends that lie closer are those of one computation, told by clocks that differ."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What `cached` was told; see there."""

    ttl: float
    stale: float
    negative_ttl: float | None
    tags: tuple[str, ...]
    key: Callable[..., object] | None
    maximum_entries: int

    def lifetime_of(self, value: object, computing_seconds: float) -> Lifetime:
        """How long a value that was just computed lasts."""
        if value is None and self.negative_ttl is not None:
            return Lifetime(self.negative_ttl, self.negative_ttl, computing_seconds)
        return Lifetime(self.ttl, self.ttl + self.stale, computing_seconds)


class NotTaken(TypeError):
    """Arguments that the function does not take."""


class Call(NamedTuple):
    """One way to call the function, however it is written: f(1), f(x=1) and f(1, default) are one."""

    key: Hashable
    """In this process's memory."""
    digest: bytes
    is_shared: bool
    """Whether other processes can tell it from others, too."""
    tags: Sequence[str]


class CachedFunction:
    """What stands behind a decorated function."""

    def __init__(self, function: Callable[..., Any], name: str, options: Options, process: CacheProcess) -> None:
        self.function = function
        self.name = name
        self.options = options
        self.process = process
        self.memory = Memory(options.maximum_entries, process.budget)
        self.flights = Flights()
        self.counts = Counts()
        self.reported = Counts()
        """As much of the counts as the ops database knows of."""
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters.values()
        is_simple = all(each.kind is each.POSITIONAL_OR_KEYWORD for each in parameters)
        self._has_plain_keys = not any(each.kind is each.KEYWORD_ONLY for each in parameters)
        """Else f(1, 2) would meet what was kept for f(1, b=2)."""
        self._simple_names = tuple(self._signature.parameters) if is_simple else None
        self._codec: Codec | None = None
        self._shared: SharedLevel | None = None
        self._has_told_uncached = self._has_told_why_not_shared = False
        _check_tags(options.tags, self._signature)
        process.add(self)

    def call_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """What a call is known by.

        Raises:
            NoKey: An argument can't be told apart from others.
            NotTaken: The function does not take such arguments.
        """
        named = self._named(args, kwargs)
        key = self.options.key
        arguments = tuple(named.values()) if key is None else (key(*args, **kwargs),)
        digest, is_shared = keys.digest(arguments)
        # Where `key` decides, the fast path's key, which is made of the arguments, must not be met.
        memory_key = keys.memory_key(arguments) if key is None and self._has_plain_keys else None
        tags = tuple([tag.format(**named) for tag in self.options.tags])
        return Call(digest if memory_key is None else memory_key, digest, is_shared, tags)

    def from_memory(self, key: Hashable) -> tuple[Entry | None, bool]:
        """The entry, where it may be given out, and whether it is to be computed anew."""
        entry = self.memory.get(key)
        now = monotonic()
        if entry is None or now >= entry.usable_until:
            return None, False
        if now < entry.fresh_until:
            self.counts.hits += 1
        else:
            self.counts.stale += 1
        return entry, now >= entry.refresh_at

    def join(self, call: Call) -> tuple[Flight, bool]:
        """The flight for a call, and whether the caller is to lead it."""
        return self.flights.join(call.key, lambda: Flight(call.digest, call.tags))

    def find(self, call: Call, flight: Flight) -> Procedure[Entry | Found | None]:
        """The leader's look into Redis, for what need not be computed."""
        entry = self.from_memory(call.key)[0]
        level = self._level(call) if entry is None else None
        if level is None:
            return entry  # which may have come between the caller's look and its flight
        try:
            found = yield from level.look(call.digest, call.tags)
        except RedisAway:
            return None
        if found is not None:
            self._keep_found(call, flight, found)
            self.counts.shared_hits += 1
        return found

    def obtain(self, call: Call, flight: Flight, *, anew: bool, has_looked: bool = False) -> Procedure[object]:
        """The leader's procedure: look in Redis, else compute, keep and share.

        Args:
            call: What is called.
            flight: Its flight.
            anew: Whether this is a refresh, for which nobody waits.
            has_looked: Whether `find` has found nothing.
        """
        if not anew and (entry := self.from_memory(call.key)[0]) is not None:
            return entry.value  # it came between the caller's look and its flight
        level = self._level(call)
        lease: Lease | None = None
        if level is not None:
            found = yield from self._look(level, call, anew=anew, has_looked=has_looked)
            if isinstance(found, Found):
                self._keep_found(call, flight, found)
                self.counts.shared_hits += not anew
                return found.value
            lease = found
            if lease is None and anew and level.link.available:
                return self._as_it_was(call)  # another process is at it
        try:
            return (yield from self._computed(call, flight, level, lease, anew=anew))
        finally:
            if lease is not None:
                self.process.keeper.let_go(lease.token)

    def tell_uncached(self, error: keys.NoKey) -> None:
        """Say once that calls of this function are not cached, and why."""
        if not self._has_told_uncached:
            self._has_told_uncached = True
            log.warning("not_cached", function=self.name, reason=str(error))

    def put_off_refresh(self, call: Call, seconds: float = _RETRY_REFRESH_SECONDS) -> None:
        """After a refresh that came to nothing: leave the entry alone for a moment."""
        self.memory.put_off(call.key, monotonic() + seconds)

    def apply(self, purge: Purge) -> None:
        """Forget in this process, also what is being computed."""
        if purge.kind in ("key", "function") and purge.target != self.name:
            return
        self.flights.ground(lambda flight: purge.concerns(self.name, flight.digest, flight.tags))
        if purge.kind in ("all", "function"):
            self.memory.clear()
        else:
            self.memory.drop_where(lambda entry: purge.concerns(self.name, entry.digest, entry.tags))

    def statistics(self) -> Statistics:
        counts = self.counts
        return Statistics(
            *(getattr(counts, name) for name in Counts.__dataclass_fields__),
            entries=len(self.memory),
            bytes=self.memory.size,
        )

    def forget_threads(self) -> None:
        """In a forked child: what was under way is the parent's, and so are its counts."""
        self.flights.forget()
        self.memory.forget_lock()
        self.reported = self.counts.copy()

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        """The arguments by their names, with defaults; the most frequent form without the signature's machinery."""
        if not kwargs and self._simple_names is not None and len(args) == len(self._simple_names):
            return dict(zip(self._simple_names, args, strict=True))
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise NotTaken(f"{self.name}: {error}") from error
        bound.apply_defaults()
        return bound.arguments

    def _level(self, call: Call) -> SharedLevel | None:
        self.process.start()
        link = self.process.link
        if link is None or not call.is_shared or self.process.owes(self.name):
            return None
        if self._shared is None or self._shared.link is not link:
            self._codec = self._codec or codec_of(self.function)
            lifetime = max(self.options.ttl + self.options.stale, self.options.negative_ttl or 0)
            self._shared = SharedLevel(link, self.process.names, self.name, self._codec, lifetime)
        return self._shared if link.available else None

    def _look(self, level: SharedLevel, call: Call, *, anew: bool, has_looked: bool) -> Procedure[Found | Lease | None]:
        entry = self.memory.get(call.key) if anew else None
        fresher_than = entry.fresh_until - monotonic() + _SAME_MOMENT_SECONDS if entry else float("-inf")
        patience = 0.0 if anew else self.process.patience_seconds
        try:
            found = None if has_looked else (yield from level.look(call.digest, call.tags))
            if found is not None and found.lifetime.fresh > fresher_than:
                return found
            return (
                yield from level.found_or_leased(call.digest, call.tags, self.process.keeper, patience, fresher_than)
            )
        except RedisAway:
            return None

    def _computed(
        self, call: Call, flight: Flight, level: SharedLevel | None, lease: Lease | None, *, anew: bool
    ) -> Procedure[object]:
        started = monotonic()
        try:
            value = yield COMPUTE
        except GeneratorExit:
            raise  # the event loop is gone: there is nobody left to ask Redis
        except BaseException as error:
            self.counts.errors += isinstance(error, Exception)
            if level is not None and lease is not None:
                yield from _quietly(level.release(call.digest, lease.token))
            raise
        seconds = monotonic() - started
        if anew:
            self.counts.refreshes += 1
        else:
            self.counts.misses += 1
        self.counts.seconds += seconds
        lifetime = self.options.lifetime_of(value, seconds)
        may_keep = True
        if level is not None and lease is not None:
            may_keep = yield from self._share(level, call, lease, value, lifetime)
        if may_keep:
            self._keep(call, flight, value, lifetime, size_of((value, call.key, call.tags)))
        return value

    def _share(
        self, level: SharedLevel, call: Call, lease: Lease, value: object, lifetime: Lifetime
    ) -> Procedure[bool]:
        """Store in Redis; False where the value was purged while it was computed, and nobody may keep it."""
        assert self._codec is not None
        try:
            payload = self._codec.encode(value)
        except CannotTravel as error:
            self._tell_why_not_shared(error)
            yield from _quietly(level.release(call.digest, lease.token))
            return True
        try:
            return (yield from level.store(call.digest, call.tags, lease, payload, lifetime))
        except RedisAway:
            return True

    def _keep_found(self, call: Call, flight: Flight, found: Found) -> None:
        if self.options.maximum_entries:
            self._keep(call, flight, found.value, found.lifetime, _IN_MEMORY * found.size + size_of(call.key))

    def _keep(self, call: Call, flight: Flight, value: object, lifetime: Lifetime, size: int) -> None:
        if not flight.is_current or not self.options.maximum_entries or not self.process.may_remember:
            return
        now = monotonic()
        refresh_at = now + max(lifetime.fresh - refresh_ahead(self.options.ttl, lifetime.computing), 0.0)
        ends = (now + lifetime.fresh, now + lifetime.usable)
        self.memory.put(call.key, Entry(value, refresh_at, *ends, call.digest, call.tags, size))
        if not flight.is_current:
            self.memory.drop(call.key)  # invalidated between the look and the put

    def _as_it_was(self, call: Call) -> object:
        """While another process computes it; its result is to be fetched before this one ends, so that nobody waits."""
        entry = self.memory.get(call.key)
        if entry is None or (now := monotonic()) >= entry.usable_until:
            return ABANDONED  # whoever has come for it meanwhile is to look for himself
        left = entry.fresh_until - now
        self.put_off_refresh(call, max(left / 2, _SOONEST_REFRESH_SECONDS) if left > 0 else _RETRY_REFRESH_SECONDS)
        return entry.value

    def _tell_why_not_shared(self, error: CannotTravel) -> None:
        if not self._has_told_why_not_shared:
            self._has_told_why_not_shared = True
            log.warning("cached_in_memory_only", function=self.name, reason=str(error))


def _quietly(procedure: Procedure[None]) -> Procedure[None]:
    """What is good to do, and no harm where Redis is away: the lease then lapses by itself."""
    try:
        yield from procedure
    except RedisAway:
        log.debug("lease_left_to_lapse")


def _check_tags(tags: Sequence[str], signature: inspect.Signature) -> None:
    for tag in tags:
        for _, field, _, _ in string.Formatter().parse(tag):
            name = (field or "").partition(".")[0].partition("[")[0]
            if field is not None and name not in signature.parameters:
                raise ValueError(f"the tag {tag!r} names {name!r}, which is no argument of the function")
