"""A way from an event loop to the script: one round trip at a time, on one connection, for all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError

from opsbook.core.redis_link import AsyncClient, RedisLink
from opsbook.core.redis_wire import AsyncWire
from opsbook.performance.limits.decision import Decision, longest_wait
from opsbook.performance.limits.script import Question, Request, Script

_LARGEST_BATCH = 128
"""Requests in one question: some 2 ms of Redis's time."""

Run: TypeAlias = Callable[[tuple[Any, ...]], Awaitable[Any]]


class Lane:
    """Who finds nobody asking asks; all who come in between share the next round trip."""

    def __init__(self, link: RedisLink, script: Script) -> None:
        self._link = link
        self._script = script
        self._waiting: list[_Asked] = []
        self._is_busy = False
        self._crowd = 0
        self._next: asyncio.Task[None] | None = None
        self._wire = AsyncWire()

    @property
    def load(self) -> int:
        """How many wait here, whoever asks for them counting as one."""
        return len(self._waiting) + self._is_busy

    async def ask(self, request: Request) -> Decision:
        """The decision on one request.

        Raises:
            RedisAway: Redis did not answer.
        """
        if self._is_busy:
            asked = _Asked(request, asyncio.get_running_loop().create_future())
            self._waiting.append(asked)
            return await asked.answer
        self._is_busy = True
        try:
            if self._crowd > 1:
                await asyncio.sleep(0)  # who was answered together comes back together
            return (await self._send([request]))[0]
        finally:
            self._hand_over()

    async def aclose(self) -> None:
        """Let the connection go; the next question makes a new one."""
        await self._wire.aclose()

    def _hand_over(self) -> None:
        """Leave those who came in between to a task, for whoever asked for all has their own answer."""
        if self._waiting:
            self._next = asyncio.create_task(self._follow())
        else:
            self._is_busy = False

    async def _follow(self) -> None:
        try:
            await self._send([])
        finally:
            self._hand_over()

    async def _send(self, own: list[Request]) -> list[Decision]:
        """One round trip for one's own request, where there is one, and for those who wait; gives one's own answer."""
        most = _LARGEST_BATCH - len(own)
        batch, self._waiting = self._waiting[:most], self._waiting[most:]
        self._crowd = len(own) + len(batch)
        requests = [*own, *[asked.request for asked in batch]]
        try:
            decisions = await self._link.call_async(partial(self._decide, requests))
        except asyncio.CancelledError:
            # Only the one who asked has left; what the others claim is asked for again, which may count it twice.
            self._waiting[:0] = [asked for asked in batch if not asked.answer.done()]
            raise
        except Exception as error:
            # Whatever it was, each of them is to hear of it: nobody else will tell them.
            for asked in batch:
                if not asked.answer.done():
                    asked.answer.set_exception(error)
            if own:
                raise
            return []
        for asked, decision in zip(batch, decisions[len(own) :], strict=True):
            if not asked.answer.done():
                asked.answer.set_result(decision)
        return decisions[: len(own)]

    async def _decide(self, requests: Sequence[Request], client: AsyncClient) -> list[Decision]:
        if isinstance(client, RedisCluster):
            return [await self._one_by_one(client, request) for request in requests]
        question = self._script.question(requests)
        return self._script.read(requests, await _run(partial(self._wire.exchange, client), question))

    async def _one_by_one(self, client: AsyncClient, request: Request) -> Decision:
        """On a cluster each claim's key may live on another node."""
        standings: list[Any] = []
        for claim in request:
            one = [[claim]]
            reply = await _run(lambda command: client.execute_command(*command), self._script.question(one))
            standings += self._script.read(one, reply)[0]
            if longest_wait(standings):
                break
        return standings


class _Asked(NamedTuple):
    request: Request
    answer: asyncio.Future[Decision]


async def _run(run: Run, question: Question) -> Any:
    try:
        return await run(question.by_hash)
    except NoScriptError:
        return await run(question.in_full)
