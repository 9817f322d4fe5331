"""Limits that all processes share, on Redis: one script, one round trip for all that ask at the same moment."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from typing import Any

from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError

from opsbook.core.redis_link import Client, RedisLink
from opsbook.performance.limits.decision import Decision, Standing, longest_wait
from opsbook.performance.limits.lane import Lane
from opsbook.performance.limits.script import Request, Script


class SharedLimiter:
    """Every policy's limits on one Redis.

    Args:
        link: The way to it.
        namespace: Tells services and environments apart that share it.
        clock: Seconds of a clock that is never set; a test brings its own.
    """

    def __init__(self, link: RedisLink, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._script = Script(namespace, clock)
        self._lanes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Lane, Lane]] = (
            weakref.WeakKeyDictionary()
        )

    async def decide(self, claims: Request) -> Decision:
        """Admit all of the claims or none, and say how each of their windows then stands.

        On a cluster claims are decided one after the other, for their keys live on different nodes: those before the
        one that is refused have been taken, and nothing is said of those after it.

        Raises:
            RedisAway: Redis did not answer.
        """
        loop = asyncio.get_running_loop()
        lanes = self._lanes.get(loop)
        if lanes is None:
            # Two, so that the next questions are written while Redis decides the last.
            lanes = self._lanes[loop] = (Lane(self._link, self._script), Lane(self._link, self._script))
        one, other = lanes
        return await (one if one.load <= other.load else other).ask(claims)

    async def aclose(self) -> None:
        """Let this event loop's connection go."""
        for lane in self._lanes.pop(asyncio.get_running_loop(), ()):
            await lane.aclose()

    def decide_now(self, claims: Request) -> Decision:
        """The same from a thread, which waits for the answer."""
        return self._link.call(lambda client: self._decide(client, claims))

    def _decide(self, client: Client, claims: Request) -> Decision:
        parts = [[claim] for claim in claims] if isinstance(client, RedisCluster) else [claims]
        standings: list[Standing] = []
        for part in parts:
            standings += self._script.read([part], self._run(client, part))[0]
            if longest_wait(standings):
                break
        return standings

    def _run(self, client: Client, part: Request) -> Any:
        question = self._script.question([part])
        try:
            return client.execute_command(*question.by_hash)
        except NoScriptError:
            return client.execute_command(*question.in_full)
