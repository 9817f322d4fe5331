"""`@cached`: functions, coroutine functions and methods; what counts as the same call."""

from __future__ import annotations

import asyncio

import pytest

from backend.cache import cached


def test_a_result_is_kept_for_the_same_arguments() -> None:
    calls: list[object] = []

    @cached(ttl=300)
    def double(value: object) -> object:
        calls.append(value)
        return [value, value]

    for value in [1, 1, True, 1.0, [1], [1], {"a": {1}}, {"a": {1}}]:
        double(value)
    assert calls == [1, True, 1.0, [1], {"a": {1}}]


def test_nothing_is_kept_beyond_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("backend.cache.time.monotonic", lambda: now)
    calls: list[float] = []

    @cached(ttl=10)
    def read() -> None:
        calls.append(now)

    for moment in [100.0, 109.9, 110.0]:
        now = moment
        read()
    assert calls == [100.0, 110.0]


def test_a_coroutine_function_stays_one() -> None:
    calls: list[int] = []

    @cached(ttl=300)
    async def fetch(value: int) -> int:
        calls.append(value)
        return value

    async def twice() -> tuple[int, int]:
        return await fetch(1), await fetch(1)

    assert asyncio.run(twice()) == (1, 1)
    assert calls == [1]


def test_a_method_is_kept_for_each_object() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @cached(ttl=300)
        def greeting(self) -> str:
            return f"welcome to {self.name}"

    assert [Shop("a").greeting(), Shop("b").greeting()] == ["welcome to a", "welcome to b"]


def test_an_error_is_not_kept() -> None:
    calls: list[int] = []

    @cached(ttl=300)
    def fail() -> None:
        calls.append(1)
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            fail()
    assert len(calls) == 2


def test_only_so_many_results_are_kept() -> None:
    calls: list[int] = []

    @cached(ttl=300, maximum_entries=2)
    def read(value: int) -> None:
        calls.append(value)

    for value in [1, 2, 3, 3, 2, 1]:
        read(value)
    assert calls == [1, 2, 3, 1]
