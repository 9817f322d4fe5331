"""`@cached(ttl=300)`: keep what a function returned, in this process and for all that share its Redis."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Coroutine, Sequence
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from opsbook.performance.cache.calls import coroutine_wrapper, plain_wrapper
from opsbook.performance.cache.function import CachedFunction, Options
from opsbook.performance.cache.process import process
from opsbook.performance.cache.statistics import Statistics

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)
M = TypeVar("M", "classmethod[Any, ..., Any]", "staticmethod[..., Any]")


class Cached(Protocol[P, R_co]):
    """A cached function, called like the function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __get__(self, instance: None, owner: type, /) -> Cached[P, R_co]: ...
    @overload
    def __get__(
        self: Cached[Concatenate[S_contra, Q], R_co], instance: S_contra, owner: type | None = None, /
    ) -> Callable[Q, R_co]: ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget the result of this one call, in every process. Of a method, the object comes first."""
        ...

    def purge(self) -> None:
        """Forget all results of the function, in every process."""
        ...

    def statistics(self) -> Statistics:
        """What this process's cache of the function has done."""
        ...


class CachedCoroutine(Protocol[P, R_co]):
    """A cached coroutine function, awaited like the function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]: ...

    @overload
    def __get__(self, instance: None, owner: type, /) -> CachedCoroutine[P, R_co]: ...
    @overload
    def __get__(
        self: CachedCoroutine[Concatenate[S_contra, Q], R_co], instance: S_contra, owner: type | None = None, /
    ) -> Callable[Q, Coroutine[Any, Any, R_co]]: ...

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget the result of this one call, in every process. Of a method, the object comes first."""
        ...

    async def purge(self) -> None:
        """Forget all results of the function, in every process."""
        ...

    def statistics(self) -> Statistics:
        """What this process's cache of the function has done."""
        ...


class Decorator(Protocol):
    """What `cached(...)` gives."""

    @overload
    def __call__(self, function: M, /) -> M: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> CachedCoroutine[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


def cached(
    ttl: float = 300,
    *,
    stale: float = 0,
    negative_ttl: float | None = None,
    tags: str | Sequence[str] = (),
    key: Callable[..., object] | None = None,
    maximum_entries: int = 1024,
    name: str | None = None,
) -> Decorator:
    """Keep what a function returns: for a function, coroutine function, method, class method or static method.

    Of callers that miss at the same time one computes, in this process and over all that share the Redis of
    `REDIS_URL`; without one, results are kept in this process. A result that is asked for is computed anew shortly
    before it ends, so that nobody waits. Exceptions are not kept. With Redis gone the function simply runs.

    Arguments count by value and type, so that 1, 1.0 and True are three calls; f(1), f(x=1) and f(1, default) are one.
    An object without a value of its own, which a method's usually is, counts by identity, in this process only; let it
    define `__cache_key__()` to say what it is worth. What is returned is handed to every caller: don't change it.

    Args:
        ttl: Seconds that a result is fresh.
        stale: Seconds beyond it in which it is still given out, at once, while it is computed anew.
        negative_ttl: Seconds that a result of None is kept; like any other where left out.
        tags: By which results are purged together; `"user:{user_id}"` takes the call's argument.
        key: Gives what tells calls apart, from their arguments, where the arguments themselves do not.
        maximum_entries: Results kept in this process; 0 keeps them in Redis alone.
        name: Under which processes share and operators see it; the function's own, with its module, where left out.

    Raises:
        ValueError: An option makes no sense.
        TypeError: The function is a generator.
    """
    if not (0 < ttl < math.inf and 0 <= stale < math.inf and (negative_ttl is None or 0 < negative_ttl < math.inf)):
        raise ValueError("ttl and negative_ttl are seconds above 0, stale is 0 or more, and none is endless")
    if maximum_entries < 0:
        raise ValueError("maximum_entries is 0 or more")
    listed = (tags,) if isinstance(tags, str) else tuple(tags)
    options = Options(ttl, stale, negative_ttl, listed, key, maximum_entries)

    def decorate(function: Any) -> Any:
        if isinstance(function, classmethod | staticmethod):
            return type(function)(decorate(cast("Any", function).__func__))
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} yields its results, each once; cache one that returns them as a list"
            )
        target = CachedFunction(function, name or f"{function.__module__}.{function.__qualname__}", options, process)
        make = coroutine_wrapper if inspect.iscoroutinefunction(function) else plain_wrapper
        wrapper: Any = update_wrapper(make(target), function)
        wrapper.statistics = target.statistics
        return wrapper

    return cast("Decorator", decorate)
