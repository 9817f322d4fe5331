"""The two ways to call a cached function: from a thread, and from an event loop.

A hit in memory is answered by the first lines of each wrapper, which know the key of a call with plain positional
arguments without asking anybody. Everything else takes the longer way.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from opsbook.core.log import get_logger
from opsbook.performance.cache.flight import ABANDONED, Flight, leading, outcome_of, waiting_for
from opsbook.performance.cache.function import CachedFunction, Call, NotTaken
from opsbook.performance.cache.keys import ALONE, NoKey
from opsbook.performance.cache.memory import Entry
from opsbook.performance.cache.purges import Purge
from opsbook.performance.cache.shared import Found
from opsbook.performance.cache.steps import carry_out, carry_out_async

log = get_logger(__name__)


def plain_wrapper(target: CachedFunction) -> Any:
    """The cached form of a plain function."""
    get = target.memory.get
    process = target.process
    counts = target.counts

    def call(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and not process.off:
            try:
                entry = get(args[0] if len(args) == 1 and type(args[0]) in ALONE else (*args, *map(type, args)))
            except TypeError:
                entry = None  # an argument that can't be hashed
            if entry is not None and monotonic() < entry[1]:
                counts.hits += 1
                return entry[0]
        return _call(target, args, kwargs)

    def invalidate(*args: Any, **kwargs: Any) -> None:
        if (wanted := _purge_of(target, args, kwargs)) is not None:
            carry_out(process.purge(wanted), lambda: None)

    def purge() -> None:
        carry_out(process.purge(Purge("function", target.name)), lambda: None)

    call.invalidate = invalidate  # pyright: ignore[reportFunctionMemberAccess]
    call.purge = purge  # pyright: ignore[reportFunctionMemberAccess]
    return call


def coroutine_wrapper(target: CachedFunction) -> Any:
    """The cached form of a coroutine function."""
    get = target.memory.get
    process = target.process
    counts = target.counts

    async def call(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and not process.off:
            try:
                entry = get(args[0] if len(args) == 1 and type(args[0]) in ALONE else (*args, *map(type, args)))
            except TypeError:
                entry = None  # an argument that can't be hashed
            if entry is not None and monotonic() < entry[1]:
                counts.hits += 1
                return entry[0]
        return await _call_async(target, args, kwargs)

    async def invalidate(*args: Any, **kwargs: Any) -> None:
        if (wanted := _purge_of(target, args, kwargs)) is not None:
            await carry_out_async(process.purge(wanted), _nothing)

    async def purge() -> None:
        await carry_out_async(process.purge(Purge("function", target.name)), _nothing)

    call.invalidate = invalidate  # pyright: ignore[reportFunctionMemberAccess]
    call.purge = purge  # pyright: ignore[reportFunctionMemberAccess]
    return call


def _call(target: CachedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = _known(target, args, kwargs)
    if call is None:
        return target.function(*args, **kwargs)

    def compute(flight: Flight) -> Any:
        with leading(flight):
            return target.function(*args, **kwargs)

    while True:
        entry, is_due = target.from_memory(call.key)
        if entry is not None:
            if is_due:
                _refresh_in_thread(target, call, compute)
            return entry.value
        flight, is_leader = target.join(call)
        if is_leader:
            return _lead(target, call, flight, lambda: compute(flight))  # noqa: B023
        with waiting_for(flight) as may_wait:
            if not may_wait:
                return target.function(*args, **kwargs)
            target.counts.waits += 1
            found = outcome_of(flight, target.process.patience_seconds if _blocks_a_loop() else None)
        if found is not ABANDONED:
            return found
        if not flight.is_over:
            return target.function(*args, **kwargs)


def _lead(
    target: CachedFunction, call: Call, flight: Flight, compute: Callable[[], object], *, anew: bool = False
) -> Any:
    try:
        value = carry_out(target.obtain(call, flight, anew=anew), compute)
    except BaseException as error:
        target.flights.over(call.key, flight)
        flight.fail(error)
        raise
    target.flights.over(call.key, flight)
    flight.land(value)
    return value


def _refresh_in_thread(target: CachedFunction, call: Call, compute: Callable[[Flight], object]) -> None:
    flight, is_leader = target.join(call)
    if not is_leader:
        return
    places = target.process.refreshers
    if not places.acquire(blocking=False):
        _abandon(target, call, flight)
        return
    context = contextvars.copy_context()

    def refresh() -> None:
        try:
            _lead(target, call, flight, lambda: compute(flight), anew=True)
        except Exception as error:
            _not_refreshed(target, call, error)
        finally:
            places.release()

    try:
        threading.Thread(target=context.run, args=(refresh,), name="opsbook cache refresh", daemon=True).start()
    except RuntimeError:  # no more threads, or the process is ending
        places.release()
        _abandon(target, call, flight)


async def _call_async(target: CachedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = _known(target, args, kwargs)
    if call is None:
        return await target.function(*args, **kwargs)

    async def compute(flight: Flight) -> Any:
        with leading(flight):
            return await target.function(*args, **kwargs)

    while True:
        entry, is_due = target.from_memory(call.key)
        if entry is not None:
            if is_due:
                _refresh_in_task(target, call, compute)
            return entry.value
        flight, is_leader = target.join(call)
        if is_leader:
            found = await _at_hand(target, call, flight)
            if found is not None:
                return found.value
            _start_task(target, call, flight, compute, has_looked=True)
        with waiting_for(flight) as may_wait:
            if not may_wait:
                return await target.function(*args, **kwargs)
            target.counts.waits += not is_leader
            found = await _outcome_async(flight)
        if found is not ABANDONED:
            return found


async def _at_hand(target: CachedFunction, call: Call, flight: Flight) -> Entry | Found | None:
    """What memory or Redis has; to look there takes no task, which would cost as much as the look."""
    try:
        found = await carry_out_async(target.find(call, flight), _nothing)
    except BaseException as error:
        target.flights.over(call.key, flight)
        flight.fail(error)  # those who wait look for themselves
        raise
    if found is not None:
        target.flights.over(call.key, flight)
        flight.land(found.value)
    return found


async def _outcome_async(flight: Flight) -> Any:
    """Wait for a flight; the last one to be cancelled cancels the computation."""
    flight.waiting += 1
    try:
        return await asyncio.shield(asyncio.wrap_future(flight.outcome))
    finally:
        flight.waiting -= 1
        if not flight.waiting and not flight.is_over and flight.task is not None:
            flight.task.get_loop().call_soon_threadsafe(flight.task.cancel)


def _start_task(
    target: CachedFunction,
    call: Call,
    flight: Flight,
    compute: Callable[[Flight], Any],
    *,
    anew: bool = False,
    has_looked: bool = False,
) -> None:
    """In a task of its own, so that the computation outlives the caller who happened to come first."""

    async def lead() -> object:
        try:
            procedure = target.obtain(call, flight, anew=anew, has_looked=has_looked)
            value = await carry_out_async(procedure, lambda: compute(flight))
        except BaseException as error:
            target.flights.over(call.key, flight)
            flight.fail(error)
            if isinstance(error, Exception):
                if anew:
                    _not_refreshed(target, call, error)
                return None
            raise
        target.flights.over(call.key, flight)
        flight.land(value)
        return value

    flight.task = asyncio.get_running_loop().create_task(lead(), name=f"opsbook cache {target.name}")
    # One that is cancelled before its first step never comes to say so itself.
    flight.task.add_done_callback(lambda _: _abandon(target, call, flight))


def _refresh_in_task(target: CachedFunction, call: Call, compute: Callable[[Flight], Any]) -> None:
    flight, is_leader = target.join(call)
    if is_leader:
        flight.waiting = 1  # nobody who is cancelled takes it with them
        _start_task(target, call, flight, compute, anew=True)


def _abandon(target: CachedFunction, call: Call, flight: Flight) -> None:
    """Have those who wait try again; does nothing to a flight that is over."""
    target.flights.over(call.key, flight)
    flight.land(ABANDONED)


def _blocks_a_loop() -> bool:
    """Whether an event loop stands still while this thread waits; whoever is waited for may need that loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _known(target: CachedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """What the call is known by; None where it can't be, or is not to be, cached."""
    if target.process.off:
        return None
    try:
        return target.call_of(args, kwargs)
    except NoKey as error:
        target.tell_uncached(error)
    except NotTaken:
        pass  # the function says so best itself
    return None


def _purge_of(target: CachedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Purge | None:
    """What is to be forgotten of a call; None where it can't have been kept."""
    try:
        return Purge("key", target.name, target.call_of(args, kwargs).digest)
    except NoKey:
        return None


def _not_refreshed(target: CachedFunction, call: Call, error: Exception) -> None:
    """The callers have the old result; once that ends, they meet the error themselves."""
    log.warning("cached_not_refreshed", function=target.name, error=type(error).__name__)
    target.put_off_refresh(call)


async def _nothing() -> None:
    """What a purge computes."""
