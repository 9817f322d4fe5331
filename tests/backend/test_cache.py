"""`from backend.cache import cached`, as the runbook has it."""

from __future__ import annotations

from backend.cache import cached


def test_a_plain_function_is_called_once_for_the_same_arguments() -> None:
    calls: list[int] = []

    @cached(ttl=300)
    def double(value: int) -> int:
        calls.append(value)
        return 2 * value

    assert [double(1), double(1), double(2)] == [2, 2, 4]
    assert calls == [1, 2]
