"""Who is in: buckets, thresholds and reasons."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.flags.evaluation import compile_flag
from opsbook.flags.hashing import BUCKETS, bucket
from opsbook.flags.model import Flag
from tests.flags.kit import alone

texts = st.text(st.characters(), max_size=50)  # surrogates and NUL among them
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:~-]{0,50}\Z")
percentages = st.integers(0, 10_000).map(lambda hundredths: hundredths / 100)
flags = st.builds(
    Flag,
    name=names,
    enabled=st.booleans(),
    kill_switch=st.booleans(),
    rollout_percentage=percentages,
    tags=st.lists(names, max_size=2),
    rules=st.just([]),
    variants=st.just([]),
    prerequisites=st.just([]),
    archived_at=st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
)


@given(texts, texts)
def test_a_bucket_is_one_of_ten_thousand_and_always_the_same(group: str, value: str) -> None:
    found = bucket(group, value)
    assert 0 <= found < BUCKETS
    assert bucket(group, value) == found


@pytest.mark.parametrize(("value", "group", "normalized"), [("123", "gr1", 73), ("999", "groupX", 25)])
def test_buckets_are_those_of_unleashs_client_specification(value: str, group: str, normalized: int) -> None:
    assert bucket(group, value) // 100 + 1 == normalized


@given(names, texts.filter(bool), st.integers(0, 100))
def test_whole_percents_take_in_exactly_whom_unleash_takes_in(group: str, value: str, percentage: int) -> None:
    normalized = mmh3.hash(f"{group}:{value}".encode("utf-8", "surrogatepass"), 0, signed=False) % 100 + 1
    flag = Flag(name=group, enabled=True, rollout_percentage=percentage)
    assert alone(flag, value).value is (normalized <= percentage)


@given(names, texts.filter(bool), percentages, percentages)
def test_raising_a_percentage_takes_nobody_out(name: str, key: str, one: float, other: float) -> None:
    lower, higher = (
        alone(Flag(name=name, enabled=True, rollout_percentage=percentage), key).value
        for percentage in sorted((one, other))
    )
    assert higher or not lower


@given(names, texts.filter(bool))
def test_a_key_is_in_from_the_first_percentage_above_its_bucket(name: str, key: str) -> None:
    place = bucket(name, key)
    below, above = (
        alone(Flag(name=name, enabled=True, rollout_percentage=hundredths / 100), key).value
        for hundredths in (place, place + 1)
    )
    assert (below, above) == (False, True)


@given(st.integers(0, 10_000))
def test_every_hundredth_of_a_percent_is_one_bucket(hundredths: int) -> None:
    percentage = float(Decimal(hundredths) / 100)
    arms = compile_flag(Flag(name="f", enabled=True, rollout_percentage=percentage)).arms
    assert sum(arm.threshold for arm in arms) == hundredths


def test_buckets_are_spread_evenly() -> None:
    """Of 20,000 keys 25 % are 5,000; six standard deviations are 367."""
    inside = sum(bucket("new-checkout", f"user-{number}") < 2_500 for number in range(20_000))
    assert abs(inside - 5_000) < 367


def test_two_flags_take_in_different_people() -> None:
    keys = [f"user-{number}" for number in range(1_000)]
    both = sum(bucket("one", key) < 5_000 and bucket("other", key) < 5_000 for key in keys)
    assert 150 < both < 350


@given(flags, st.none() | texts)
def test_an_evaluation_is_total_and_says_why(flag: Flag, key: str | None) -> None:
    result = alone(flag, key)
    assert result.variant == ("on" if result.value else "off")
    assert result.reason in {"STATIC", "SPLIT", "DISABLED", "ERROR"}
    assert (result.error_code is not None) == (result.reason == "ERROR")
    assert result.metadata["revision"] == flag.revision
    if flag.kill_switch or not flag.enabled or flag.archived_at or flag.rollout_percentage == 0:
        assert not result.value
    elif flag.rollout_percentage == 100:
        assert result.value


def test_a_partial_rollout_without_a_key_is_off_and_says_so() -> None:
    result = alone(Flag(name="f", enabled=True, rollout_percentage=99.99), None)
    assert (result.value, result.reason, result.error_code) == (False, "ERROR", "TARGETING_KEY_MISSING")


def test_the_kill_switch_beats_everything_and_is_told() -> None:
    result = alone(Flag(name="f", enabled=True, kill_switch=True), "u1")
    assert (result.value, result.reason, result.metadata["killed"]) == (False, "DISABLED", True)
