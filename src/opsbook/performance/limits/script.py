"""What is said to `check.lua` and what it answers, and the clock by which all processes go.

Which clock counts. Each process goes by its own monotonic clock, which nobody sets; Redis is asked for the time
once, so that all processes name the same moments. In a ring time never goes back, and a process that finds itself
behind another catches up. So when somebody sets the clock of Redis's machine, forward or back, the processes that
run do not notice, and no window gets shorter or longer. One that starts after a step forward takes the others along,
once: what they admitted just before ages by the step. A step forward of more than five minutes makes Redis itself
forget what is older than the step.

A request counts from the moment at which it was sent: a Redis that stood still in between changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple, TypeAlias

import msgspec

from opsbook.core.redis_link import RedisAway
from opsbook.performance.limits.decision import Claim, Decision, Standing

TEXT = (resources.files("opsbook.performance.limits") / "check.lua").read_bytes()
SHA = hashlib.sha1(TEXT, usedforsecurity=False).hexdigest()
"""By which Redis calls a script (EVALSHA)."""

Request: TypeAlias = Sequence[Claim]
"""What one HTTP request claims: all of it is admitted, or nothing."""

_MICROSECONDS = 1_000_000
_KEPT_BEYOND_SECONDS = 600
"""A key outlives its longest window by so much when it is renewed, and by half of that at least: a step of Redis's
clock is not to end it early."""
_LONGEST_PLAIN_KEY = 64


class Question(NamedTuple):
    """The script's keys and arguments."""

    keys: Sequence[str]
    now: int
    claims: bytes

    @property
    def by_hash(self) -> tuple[Any, ...]:
        """As a command, where Redis has the script."""
        return ("EVALSHA", SHA, len(self.keys), *self.keys, self.now, self.claims)

    @property
    def in_full(self) -> tuple[Any, ...]:
        """As a command that brings the script along; Redis keeps it."""
        return ("EVAL", TEXT, len(self.keys), *self.keys, self.now, self.claims)


class Script:
    """Writes questions and reads answers, in the time of this process.

    Args:
        namespace: Tells services and environments apart that share a Redis.
        clock: Seconds of a clock that is never set.
    """

    def __init__(self, namespace: str, clock: Callable[[], float]) -> None:
        self._prefix = f"opsbook:limit:{namespace}:"
        self._clock = clock
        self._ahead: float | None = None
        """What is to be added to this process's clock; unknown before the first answer."""

    def question(self, requests: Sequence[Request]) -> Question:
        """The question that decides these requests, in their order."""
        keys: list[str] = []
        places: dict[str, int] = {}
        policies: list[tuple[int, list[tuple[int, int]]]] = []
        asked: list[list[int]] = []
        for request in requests:
            numbers: list[int] = []
            for claim in request:
                place = places.get(claim.policy)
                if place is None:
                    policies.append(_policy(claim))
                    place = places[claim.policy] = len(policies)
                keys.append(f"{self._prefix}{claim.policy}:{_short(claim.key)}")
                numbers += (place, claim.cost)
            asked.append(numbers)
        now = 0 if self._ahead is None else int((self._clock() + self._ahead) * _MICROSECONDS)
        return Question(keys, now, msgspec.msgpack.encode((policies, asked)))

    def read(self, requests: Sequence[Request], reply: object) -> list[Decision]:
        """The decision on each request.

        Raises:
            RedisAway: This is not what the script answers.
        """
        sizes = [sum(len(claim.windows) for claim in request) for request in requests]
        numbers = _numbers(reply, 1 + 3 * sum(sizes))
        self._catch_up(next(numbers) / _MICROSECONDS)
        return [
            [Standing(next(numbers) / _MICROSECONDS, next(numbers), next(numbers) / _MICROSECONDS) for _ in range(size)]
            for size in sizes
        ]

    def _catch_up(self, newest: float) -> None:
        # As if the answer had taken no time, so that nobody gets ahead of the others by asking often.
        ahead = newest - self._clock()
        if self._ahead is None or ahead > self._ahead:
            self._ahead = ahead


def _policy(claim: Claim) -> tuple[int, list[tuple[int, int]]]:
    milliseconds = int((claim.windows[-1].seconds + _KEPT_BEYOND_SECONDS) * 1000)
    return milliseconds, [(limit, int(seconds * _MICROSECONDS)) for limit, seconds in claim.windows]


def _short(key: str) -> str:
    """A key as Redis is to hold it: a long or strange one by its hash, which no short one can look like."""
    if len(key) <= _LONGEST_PLAIN_KEY and key.isascii() and key.isprintable() and not key.startswith("#"):
        return key
    return "#" + hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _numbers(reply: object, count: int) -> Iterator[int]:
    if isinstance(reply, list) and len(reply) == count and set(map(type, reply)) == {int}:
        return iter(reply)
    raise RedisAway("Redis answers otherwise than the script does")
