"""What counts as the same call, for all values that arguments are made of."""

from __future__ import annotations

import enum
import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.performance.cache.keys import NoKey, digest, memory_key

SIMPLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec=None)), st.binary(), st.decimals()
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


def told(value: Any) -> object:
    """The value with its type all the way down, as `==` can compare it."""
    if isinstance(value, float):
        return ("float", struct.pack(">d", value))
    if isinstance(value, list | tuple):
        return (type(value), [told(each) for each in value])
    if isinstance(value, dict):
        return {key: told(each) for key, each in value.items()}
    return (type(value), str(value))


@given(VALUES, VALUES)
def test_two_values_have_one_digest_exactly_where_they_are_the_same(first: object, second: object) -> None:
    assert (digest((first,)) == digest((second,))) is (told(first) == told(second))
    assert digest((first, second))[1]


@given(st.lists(SIMPLE, max_size=3), st.lists(SIMPLE, max_size=3))
def test_a_key_in_memory_confuses_nothing_that_the_digest_tells_apart(
    first: list[object], second: list[object]
) -> None:
    keys = memory_key(first), memory_key(second)
    if None not in keys and keys[0] == keys[1]:
        assert digest(first) == digest(second)


class Colour(enum.StrEnum):
    RED = "red"


@dataclass
class Red:
    name: str


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __cache_key__(self) -> str:
        return self.name


def test_types_keep_apart_what_is_equal() -> None:
    class Other(Named):
        pass

    alike = [
        "red", Colour.RED, b"red", bytearray(b"red"), Red("red"), Named("red"), Other("red"), ("red",), ["red"],
        {"red"}, frozenset({"red"}), {"red": None}, UUID(int=1), 1, 1.0, True, math.nan,
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), Red, Colour,
    ]  # fmt: skip
    assert len({digest((value,)) for value in alike}) == len(alike)
    assert digest((Named("a"),)) == digest((Named("a"),))
    assert digest(({"b": 1, "a": 2},)) == digest(({"a": 2, "b": 1},))


def test_an_object_without_worth_is_known_to_this_process_only() -> None:
    class Anything:
        pass

    one, other = Anything(), Anything()
    assert digest((one,)) == digest((one,))
    assert digest((one,)) != digest((other,))
    assert not digest(([{"deep": one}],))[1]
    with pytest.raises(NoKey):
        digest((object(),))


def test_a_long_argument_is_not_held_as_a_key() -> None:
    assert memory_key(("x" * 10**6,)) is None
    assert memory_key((b"x" * 10**6, 1)) is None
