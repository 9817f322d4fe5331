"""Never more than the limit in any window, in memory and on a real Redis, whoever tries and however."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.core.redis_link import RedisLink
from opsbook.performance.limits.decision import Claim, Decision, Window, longest_wait
from opsbook.performance.limits.memory import MemoryLimiter
from opsbook.performance.limits.shared import SharedLimiter
from tests.performance.limits.adversary import Adversary, VirtualClock
from tests.redis_server import RedisServer, running_redis

ADVERSARIES = range(200)
PATIENCE_SECONDS = 10.0

Decide = Callable[[list[Claim]], Decision]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def link(server: RedisServer) -> Iterator[RedisLink]:
    link = RedisLink(server.url, patience_seconds=PATIENCE_SECONDS)
    yield link
    link.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", "redis"])
def decide(request: pytest.FixtureRequest, clock: VirtualClock, link: RedisLink) -> Decide:
    """The two limiters by one face, on the test's clock and with nothing in them."""
    if request.param == "memory":
        return MemoryLimiter(clock).decide
    return SharedLimiter(link, request.node.name, clock).decide_now


def test_no_adversary_gets_more_than_the_limit(decide: Decide, clock: VirtualClock) -> None:
    for seed in ADVERSARIES:
        adversary = Adversary.of(seed)

        def admit(cost: int, adversary: Adversary = adversary, key: str = str(seed)) -> bool:
            return longest_wait(decide([Claim(key, key, cost, adversary.windows)])) == 0

        adversary.attack(clock, 60, admit)
        assert adversary.admitted
        assert adversary.excess() == []


def test_steady_load_passes(decide: Decide, clock: VirtualClock) -> None:
    random, windows = Random(1), (Window(10, 1), Window(500, 60))
    began, admitted = clock.milliseconds, 0
    for number in range(400):
        clock.milliseconds = began + number * 125 + random.randint(0, 50)
        admitted += longest_wait(decide([Claim("steady", "k", 1, windows)])) == 0
    assert admitted >= 0.95 * 400


def test_both_limiters_say_the_same(clock: VirtualClock, link: RedisLink) -> None:
    memory, shared = MemoryLimiter(clock), SharedLimiter(link, "same", clock)
    for seed in range(20):
        adversary = Adversary.of(seed)

        def admit(cost: int, adversary: Adversary = adversary, key: str = str(seed)) -> bool:
            claims = [Claim(key, key, cost, adversary.windows)]
            ours, theirs = memory.decide(claims), shared.decide_now(claims)
            for mine, other in zip(ours, theirs, strict=True):
                assert mine == pytest.approx(other, abs=1e-4)
            return longest_wait(ours) == 0

        adversary.attack(clock, 40, admit)


def test_waiting_as_long_as_told_is_waiting_enough(decide: Decide, clock: VirtualClock) -> None:
    windows = (Window(3, 1), Window(7, 10))
    for cost in (1, 2, 3, 1, 2, 1, 3, 3, 2):
        claims = [Claim("patient", "k", cost, windows)]
        wait = longest_wait(decide(claims))
        clock.milliseconds += -int(-wait * 1000 // 1)
        if wait:
            assert longest_wait(decide(claims)) == 0


def test_a_refusal_takes_nothing_from_any_window_or_policy(decide: Decide) -> None:
    tight, wide = Claim("tight", "k", 1, (Window(1, 60),)), Claim("wide", "k", 1, (Window(5, 60), Window(9, 3600)))
    assert longest_wait(decide([tight, wide])) == 0
    for _ in range(5):
        assert longest_wait(decide([tight, wide])) > 0
    assert [standing.remaining for standing in decide([wide])] == [3, 7]


def test_what_is_above_the_limit_never_passes(decide: Decide) -> None:
    (standing,) = decide([Claim("p", "k", 4, (Window(3, 10),))])
    assert (standing.wait > 0, standing.remaining) == (True, 3)


@pytest.mark.parametrize(("before", "after"), [(10, 4), (4, 10), (100, 2500)])
def test_changed_limits_find_the_history(decide: Decide, before: int, after: int) -> None:
    def admitted(limit: int) -> int:
        return sum(longest_wait(decide([Claim("p", "k", 1, (Window(limit, 60),))])) == 0 for _ in range(limit + 1))

    assert admitted(before) == before
    assert admitted(after) == max(0, after - before)


def test_large_costs_and_large_limits(decide: Decide, clock: VirtualClock) -> None:
    windows = (Window(5000, 60),)
    costs = [1000] * 5 + [1]
    waits = [longest_wait(decide([Claim("big", "k", cost, windows)])) for cost in costs]
    assert [wait > 0 for wait in waits] == [False] * 5 + [True]
    clock.milliseconds += 60_000
    assert decide([Claim("big", "k", 1, windows)])[0].remaining == 4999


def test_a_rush_gets_exactly_the_limit(server: RedisServer, clock: VirtualClock) -> None:
    async def rush() -> list[Decision]:
        link = RedisLink(server.url, patience_seconds=PATIENCE_SECONDS)
        limiter = SharedLimiter(link, "batch", clock)
        claims = [[Claim("p", key, 1, (Window(200, 60),)), Claim("q", "all", 1, (Window(300, 60),))] for key in "ab"]
        decided = await asyncio.gather(*(limiter.decide(claims[number % 2]) for number in range(400)))
        await limiter.aclose()
        await link.aclose()
        return decided

    decided = asyncio.run(rush())
    assert [longest_wait(decision) == 0 for decision in decided].count(True) == 300
    assert max(len(decision) for decision in decided) == 2


def test_eight_processes_on_one_key_get_exactly_the_limit(server: RedisServer) -> None:
    processes = multiprocessing.get_context("fork")
    with processes.Pool(8) as pool:
        counts = pool.starmap(_race, [(server.url, 100)] * 8, chunksize=1)
    assert sum(counts) == 500


@given(
    gaps=st.lists(st.integers(0, 1500), min_size=1, max_size=60),
    limits=st.tuples(st.integers(1, 6), st.integers(1, 12)),
)
def test_memory_decides_as_a_plain_log_would(gaps: list[int], limits: tuple[int, int]) -> None:
    clock = VirtualClock()
    limiter, windows = MemoryLimiter(clock), (Window(limits[0], 1), Window(limits[1], 5))
    log: list[int] = []
    for gap in gaps:
        clock.milliseconds += gap
        now = clock.milliseconds
        room = all(sum(now - at < w.seconds * 1000 for at in log) < w.limit for w in windows)
        assert limiter.admit("p", "k", windows) is room
        if room:
            log.append(now)


def test_who_asked_lately_is_remembered_when_others_are_forgotten(clock: VirtualClock) -> None:
    limiter, windows = MemoryLimiter(clock), (Window(1, 60),)
    limiter.admit("p", "first", windows)
    clock.milliseconds += 30_000
    admitted: list[bool] = []
    for number in range(100):
        clock.milliseconds += 7_000
        limiter.admit("p", f"passing {number}", windows)
        admitted.append(limiter.admit("p", "steady", windows))
    assert [place for place, room in enumerate(admitted) if room] == list(range(0, 100, 9)), "63 s are over 60"


def test_more_keys_than_fit_share_rings_and_none_passes_the_limit(clock: VirtualClock) -> None:
    limiter, windows = MemoryLimiter(clock, most_keys=10), (Window(2, 60),)

    def admitted(key: str) -> int:
        return sum(limiter.admit("p", key, windows) for _ in range(5))

    assert [admitted(f"early {number}") for number in range(10)] == [2] * 10
    assert all(admitted(f"late {number}") <= 2 for number in range(5000))
    assert admitted("early 3") == 0
    clock.milliseconds += 120_000
    assert admitted("new") == 2


def test_threads_share_the_limit() -> None:
    from concurrent.futures import ThreadPoolExecutor

    limiter, windows = MemoryLimiter(), (Window(300, 600),)
    with ThreadPoolExecutor(8) as threads:
        took = threads.map(lambda _: sum(limiter.admit("p", "k", windows) for _ in range(200)), range(8))
    assert sum(took) == 300


def test_a_forked_child_limits_on_whatever_its_parent_was_doing() -> None:
    limiter, windows = MemoryLimiter(), (Window(2, 600),)
    with limiter._lock:  # as a thread of the parent might, in that moment
        child = os.fork()
        if child == 0:
            os._exit(sum(limiter.admit("p", "k", windows) for _ in range(5)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def _race(url: str, attempts: int) -> int:
    limiter = SharedLimiter(RedisLink(url, patience_seconds=PATIENCE_SECONDS), "race")
    claims: list[Any] = [Claim("p", "one key", 1, (Window(500, 600), Window(900, 6000)))]
    return sum(longest_wait(limiter.decide_now(claims)) == 0 for _ in range(attempts))
