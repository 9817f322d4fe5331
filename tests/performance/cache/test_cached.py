"""`@cached` in one process: what counts as the same call, who computes, and what is kept for how long."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

import opsbook
from opsbook.performance.cache.process import process
from opsbook.testing import without_cache
from tests.performance.cache.helpers import arrives, until


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("opsbook.performance.cache.calls.monotonic", lambda: self.now)
        monkeypatch.setattr("opsbook.performance.cache.function.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_result_is_kept_for_the_same_arguments() -> None:
    calls: list[object] = []

    @opsbook.cached(ttl=300)
    def double(value: object) -> object:
        calls.append(value)
        return [value, value]

    for value in [
        1,
        1,
        True,
        1.0,
        -0.0,
        0.0,
        [1],
        [1],
        {"a": {1}},
        {"a": {1}},
        b"\x00",
        b"\x00",
        "x" * 10**6,
        "x" * 10**6,
    ]:
        assert double(value) == [value, value]
    assert calls == [1, True, 1.0, -0.0, 0.0, [1], {"a": {1}}, b"\x00", "x" * 10**6]


def test_however_a_call_is_written_it_is_the_same() -> None:
    calls: list[int] = []

    @opsbook.cached()
    def add(first: int, second: int = 2, *more: int, scale: int = 1) -> int:
        calls.append(first)
        return (first + second + sum(more)) * scale

    assert {add(1), add(1, 2), add(first=1), add(second=2, first=1), add(1, scale=1)} == {3}
    assert add(1, 2, 3) == 6
    assert add(1, scale=2) == 6
    assert len(calls) == 3


def test_arguments_that_the_function_does_not_take_are_its_own_affair() -> None:
    @opsbook.cached()
    def one(value: int) -> int:
        return value

    with pytest.raises(TypeError, match="positional argument"):
        one(1, 2)  # pyright: ignore[reportCallIssue]


def test_a_call_that_the_function_does_not_take_is_no_hit() -> None:
    @opsbook.cached()
    def read(value: int, *, other: int) -> int:
        return value + other

    assert read(1, other=2) == read(1, other=2) == 3
    assert read.statistics().hits == 1
    with pytest.raises(TypeError, match="positional"):
        read(1, 2)  # pyright: ignore[reportCallIssue]


def test_a_generator_is_refused() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, later):
        with pytest.raises(TypeError, match="as a list"):
            opsbook.cached()(function)


@pytest.mark.anyio
async def test_a_coroutine_function_stays_one() -> None:
    calls: list[int] = []

    @opsbook.cached(ttl=300)
    async def fetch(value: int) -> int:
        calls.append(value)
        return value

    assert asyncio.iscoroutinefunction(fetch)
    assert (await fetch(1), await fetch(1), await fetch(value=1)) == (1, 1, 1)
    assert calls == [1]
    await fetch.invalidate(1)
    await fetch(1)
    await fetch.purge()
    await fetch(1)
    assert calls == [1, 1, 1]


def test_methods_of_all_kinds() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @opsbook.cached()
        def greeting(self) -> str:
            return f"welcome to {self.name}"

        @opsbook.cached()
        @classmethod
        def kind(cls) -> str:
            return cls.__name__

        @opsbook.cached()
        @staticmethod
        def double(value: int) -> int:
            return 2 * value

    class Bakery(Shop):
        pass

    assert [Shop("a").greeting(), Shop("b").greeting()] == ["welcome to a", "welcome to b"]
    kinds = (Shop.kind(), Bakery.kind(), Shop.kind())  # pyright: ignore[reportCallIssue]
    assert kinds == ("Shop", "Bakery", "Shop")
    assert (Shop.double(2), Shop("a").double(2)) == (4, 4)  # pyright: ignore[reportAttributeAccessIssue]
    shop = Shop("c")
    assert shop.greeting() == "welcome to c"
    shop.name = "d"
    assert shop.greeting() == "welcome to c"
    Shop.greeting.invalidate(shop)
    assert shop.greeting() == "welcome to d"


def test_an_object_is_told_apart_by_its_worth_where_it_has_one_and_is_not_kept_alive() -> None:
    import gc
    import weakref

    calls: list[object] = []

    @dataclass(frozen=True)
    class Point:
        x: int

    class Anything:
        pass

    @opsbook.cached()
    def seen(thing: object) -> None:
        calls.append(1)

    for thing in (Point(1), Point(1), Point(2)):
        seen(thing)
    assert len(calls) == 2
    first, second = Anything(), Anything()
    for thing in (first, first, second):
        seen(thing)
    assert len(calls) == 4
    gone = weakref.ref(first)
    del first, thing
    gc.collect()
    assert gone() is None


def test_what_cannot_be_told_apart_is_not_cached() -> None:
    class Closed:
        __slots__ = ()

    calls: list[int] = []

    @opsbook.cached()
    def seen(_: object) -> None:
        calls.append(1)

    thing = Closed()
    endless: list[object] = []
    endless.append(endless)
    for each in (thing, thing, endless, endless):
        seen(each)
    assert len(calls) == 4
    seen.invalidate(thing)


def test_an_error_is_not_kept() -> None:
    calls: list[int] = []

    @opsbook.cached()
    def fail() -> None:
        calls.append(1)
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            fail()
    assert len(calls) == 2
    assert fail.statistics().errors == 2


def test_nothing_is_kept_beyond_its_time(clock: Clock) -> None:
    calls: list[float] = []

    @opsbook.cached(ttl=10)
    def read() -> None:
        calls.append(clock.now)

    for clock.now in (100.0, 109.9, 110.0):
        read()
    assert calls == [100.0, 110.0]


def test_none_may_be_kept_for_another_time(clock: Clock) -> None:
    calls: list[str] = []

    @opsbook.cached(ttl=100, negative_ttl=5)
    def find(name: str) -> str | None:
        calls.append(name)
        return name if name == "known" else None

    for clock.now in (100.0, 104.9, 105.0):
        find("known")
        find("unknown")
    assert calls == ["known", "unknown", "unknown"]


def test_a_stale_result_is_given_at_once_and_computed_anew_behind(clock: Clock) -> None:
    computing, go_on = threading.Event(), threading.Event()
    go_on.set()
    values = iter(range(10))

    @opsbook.cached(ttl=10, stale=10)
    def read() -> int:
        computing.set()
        assert go_on.wait(10)
        return next(values)

    assert read() == 0
    go_on.clear()
    computing.clear()
    clock.now += 15
    assert [read(), read(), read()] == [0, 0, 0]
    assert computing.wait(10)
    go_on.set()
    until(lambda: read() == 1)
    figures = read.statistics()
    assert (figures.misses, figures.refreshes, figures.stale >= 3) == (1, 1, True)


@pytest.mark.anyio
async def test_at_the_end_of_a_result_nobody_waits(clock: Clock) -> None:
    values = iter(range(10))

    @opsbook.cached(ttl=10)
    async def read() -> int:
        clock.now += 1
        return next(values)

    assert await read() == 0
    clock.now += 8.5  # less than twice the second that it takes is left
    assert await read() == 0
    await arrives(lambda: read.statistics().refreshes)
    assert await read() == 1
    figures = read.statistics()
    assert (figures.misses, figures.refreshes, figures.waits) == (1, 1, 0)


def test_a_refresh_that_fails_leaves_the_old_result(clock: Clock) -> None:
    calls: list[int] = []

    @opsbook.cached(ttl=10, stale=100)
    def read() -> int:
        calls.append(1)
        if len(calls) > 1:
            raise LookupError
        return 7

    read()
    clock.now += 20
    assert read() == 7
    until(lambda: read.statistics().errors == 1)
    assert read() == 7


def test_what_is_purged_while_its_refresh_is_put_off_stays_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    @opsbook.cached(name="put off")
    def read() -> int:
        return 7

    def now() -> float:
        read.purge()
        return 1000.0

    read()
    (target,) = [each for each in process.functions if each.name == "put off"]
    monkeypatch.setattr("opsbook.performance.cache.function.monotonic", now)
    target.put_off_refresh(target.call_of((), {}))
    assert read.statistics().entries == 0


def test_functions_may_be_decorated_while_all_are_told_of_a_purge() -> None:
    first = opsbook.cached()(lambda: 1)
    more = [opsbook.cached()(lambda: 1) for _ in process.functions]
    assert len(process.functions) > len(more)
    assert first() == 1


@pytest.mark.parametrize("ends_in", ["result", "error"])
def test_of_many_threads_one_computes(ends_in: str) -> None:
    calls: list[int] = []
    all_wait = threading.Event()

    @opsbook.cached()
    def slow() -> int:
        calls.append(1)
        assert all_wait.wait(10)
        if ends_in == "error":
            raise LookupError
        return 7

    def told() -> object:
        try:
            return slow()
        except LookupError:
            return "error"

    with ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(told) for _ in range(20)]
        until(lambda: slow.statistics().waits == 19)
        all_wait.set()
        assert {answer.result(10) for answer in answers} == {7 if ends_in == "result" else "error"}
    assert len(calls) == 1


@pytest.mark.anyio
async def test_a_caller_who_is_cancelled_takes_nobody_along() -> None:
    calls: list[int] = []
    go_on = asyncio.Event()
    ended: list[str] = []

    @opsbook.cached()
    async def slow() -> int:
        calls.append(1)
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return 7

    tasks = [asyncio.create_task(slow()) for _ in range(3)]
    await arrives(lambda: slow.statistics().waits == 2)
    tasks[0].cancel()
    await asyncio.wait({tasks[0]})
    go_on.set()
    assert await asyncio.gather(*tasks[1:]) == [7, 7]
    assert (len(calls), ended) == (1, [])

    await slow.purge()
    go_on.clear()
    last = asyncio.create_task(slow())
    await arrives(lambda: len(calls) == 2)
    last.cancel()
    await arrives(lambda: ended)
    go_on.set()
    assert await slow() == 7


@pytest.mark.anyio
async def test_a_computation_that_is_cancelled_before_it_begins_keeps_nobody_waiting() -> None:
    @opsbook.cached()
    async def read() -> int:
        return 7

    def cancel_what_computes() -> None:
        for task in asyncio.all_tasks():
            if "read" in task.get_name():
                task.cancel()
                cancelled.append(task)

    cancelled: list[asyncio.Task[object]] = []
    caller = asyncio.create_task(read())
    asyncio.get_running_loop().call_soon(cancel_what_computes)  # after the caller's step, before the next
    async with asyncio.timeout(10):
        assert await caller == 7
        assert await read() == 7
    assert cancelled


def test_a_function_may_call_itself() -> None:
    depth: list[int] = []

    @opsbook.cached()
    def same(value: int) -> int:
        depth.append(value)
        return same(value) if len(depth) < 3 else value

    @opsbook.cached()
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert same(1) == 1
    assert fibonacci(60) == 1548008755920


def test_two_functions_that_call_each_other_from_two_threads_do_not_wait_for_ever() -> None:
    both = threading.Barrier(2)
    meet = [True, True]

    def meeting(place: int) -> None:
        if meet[place]:
            meet[place] = False
            both.wait(10)

    @opsbook.cached()
    def first() -> int:
        meeting(0)
        return second() if meet_once(0) else 1

    @opsbook.cached()
    def second() -> int:
        meeting(1)
        return first() if meet_once(1) else 1

    asked: set[int] = set()

    def meet_once(place: int) -> bool:
        is_new = place not in asked
        asked.add(place)
        return is_new

    with ThreadPoolExecutor(2) as threads:
        assert [each.result(10) for each in (threads.submit(first), threads.submit(second))] == [1, 1]


def test_a_purge_may_come_while_others_read() -> None:
    @opsbook.cached(tags="even:{even}")
    def read(value: int, even: bool) -> int:
        return value

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads meet where they would in hours of service
    over = threading.Event()

    def keep_reading() -> None:
        while not over.is_set():
            for value in range(100):
                assert read(value, value % 2 == 0) == value

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(keep_reading) for _ in range(3)]
        for _ in range(300):
            _purge_tag("even:True")
        over.set()
        sys.setswitchinterval(usual)
        for reader in readers:
            reader.result(10)


@pytest.mark.parametrize("forget", ["invalidate", "purge"])
def test_what_was_begun_before_it_was_forgotten_is_not_kept(forget: str) -> None:
    world = ["old"]
    read_it, go_on = threading.Event(), threading.Event()

    @opsbook.cached()
    def read() -> str:
        found = world[0]
        read_it.set()
        assert go_on.wait(10)
        return found

    with ThreadPoolExecutor(1) as threads:
        early = threads.submit(read)
        assert read_it.wait(10)
        world[0] = "new"
        getattr(read, forget)()
        go_on.set()
        assert early.result(10) == "old"
    assert read() == "new"


def test_a_function_slower_than_its_ttl_is_computed_once_for_all_who_wait(clock: Clock) -> None:
    @opsbook.cached(ttl=1)
    def slow() -> float:
        clock.now += 5
        return clock.now

    assert slow() == 1005
    assert slow() == 1005  # its second begins when it is there
    clock.now += 1
    assert slow() == 1011


def test_tags_purge_together() -> None:
    calls: list[tuple[str, int]] = []

    @opsbook.cached(tags=("people", "person:{person}"))
    def profile(person: str, page: int = 1) -> None:
        calls.append((person, page))

    def ask() -> int:
        for person, page in (("ada", 1), ("ada", 2), ("bob", 1)):
            profile(person, page)
        return len(calls)

    purge: Callable[[str], None] = _purge_tag
    assert ask() == 3
    purge("person:ada")
    assert ask() == 5
    purge("people")
    assert ask() == 8
    purge("person:nobody")
    assert ask() == 8


def _purge_tag(tag: str) -> None:
    from opsbook.performance.cache.purges import Purge

    process.apply(Purge("tag", tag))


@pytest.mark.parametrize(
    "options", [{"ttl": 0}, {"ttl": float("inf")}, {"stale": -1}, {"negative_ttl": 0}, {"maximum_entries": -1}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"seconds|entries"):
        opsbook.cached(**options)  # pyright: ignore[reportArgumentType]


def test_a_tag_names_arguments_only() -> None:
    with pytest.raises(ValueError, match="no argument"):

        @opsbook.cached(tags="user:{user}")
        def read(user_id: str) -> None: ...


def test_a_key_of_ones_own_decides() -> None:
    calls: list[str] = []

    @opsbook.cached(key=str.casefold)
    def read(name: str) -> None:
        calls.append(name)

    for name in ("Ada", "ADA", "bob"):
        read(name)
    assert calls == ["Ada", "bob"]


def test_memory_is_bounded_in_entries_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    @opsbook.cached(maximum_entries=2)
    def few(value: int) -> int:
        return value

    @opsbook.cached()
    def large(value: int) -> bytes:
        return bytes(100_000)

    monkeypatch.setattr(process.budget, "limit", 350_000)
    for value in range(10):
        few(value)
        large(value)
    assert few.statistics().entries <= 2
    assert large.statistics().entries == 3
    assert large.statistics().bytes < 350_000


def test_it_can_be_switched_off_for_tests() -> None:
    calls: list[int] = []

    @opsbook.cached()
    def read(value: int) -> None:
        calls.append(value)

    read(1)
    with without_cache():
        read(1)
        read(1)
    read(1)
    assert len(calls) == 3
