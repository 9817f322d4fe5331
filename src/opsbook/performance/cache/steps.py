"""What a call asks of the outside world, written once and carried out by threads and event loops alike.

A procedure is a generator: it yields a step and is sent the step's result, or thrown its error. So there is one
account of how a result is found, computed and shared, and no copy of it for coroutines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from opsbook.core.redis_link import RedisLink

T = TypeVar("T")


class Ask(NamedTuple):
    """Do this with a Redis client, plain or asynchronous; its answer is sent back, `RedisAway` thrown."""

    link: RedisLink
    operation: Callable[[Any], Any]


class Fetch(NamedTuple):
    """Read what stands under these keys of one node; it is sent back, `RedisAway` thrown."""

    link: RedisLink
    keys: Sequence[str]


class Pause(NamedTuple):
    """Wait so many seconds."""

    seconds: float


class Compute:
    """Call the function; its result is sent back, its error thrown."""


COMPUTE = Compute()

Step: TypeAlias = Ask | Fetch | Pause | Compute
Procedure: TypeAlias = Generator[Step, Any, T]


def carry_out(procedure: Procedure[T], compute: Callable[[], object]) -> T:
    """Run a procedure in this thread."""

    def done(step: Step) -> object:
        if isinstance(step, Fetch):
            return step.link.fetch(step.keys)
        if isinstance(step, Ask):
            return step.link.call(step.operation)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return compute()

    try:
        step = next(procedure)
        while True:
            try:
                result = done(step)
            except BaseException as error:  # the procedure decides what becomes of it
                step = procedure.throw(error)
            else:
                step = procedure.send(result)
    except StopIteration as end:
        return end.value


async def carry_out_async(procedure: Procedure[T], compute: Callable[[], Awaitable[object]]) -> T:
    """Run a procedure in this event loop."""

    async def done(step: Step) -> object:
        if isinstance(step, Fetch):
            return await step.link.fetch_async(step.keys)
        if isinstance(step, Ask):
            return await step.link.call_async(step.operation)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        return await compute()

    try:
        step = next(procedure)
        while True:
            try:
                result = await done(step)
            except BaseException as error:  # the procedure decides what becomes of it
                step = procedure.throw(error)
            else:
                step = procedure.send(result)
    except StopIteration as end:
        return end.value
