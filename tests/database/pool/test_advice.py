"""What is advised for which figures, whatever they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opsbook.database.pool.advice import LONG_HOLD_SECONDS, Advice, Demand, Kind, Room, advise
from opsbook.database.pool.sizing import connections_needed

counts = st.integers(min_value=0, max_value=1000)
seconds = st.floats(min_value=0.0, max_value=100.0)
demands = st.builds(
    Demand,
    name=st.just("web 7 on a"),
    program=st.sampled_from(["web", "worker"]),
    pool_size=counts,
    capacity=st.none() | st.integers(min_value=1, max_value=500),
    arrivals_per_second=st.floats(min_value=0.0, max_value=5000.0),
    hold_seconds=st.none() | st.floats(min_value=0.0, max_value=2.0),
    wait_p95_seconds=st.none() | seconds,
    timeouts=counts,
    most_checked_out=counts,
    most_wanted=counts,
    longest_hold_seconds=seconds,
    longest_holder=st.none() | st.just("shop/orders.py:40 export"),
)
rooms = st.builds(Room, max_connections=st.integers(1, 2000), reserved=st.integers(0, 10), used_by_others=counts)


def demand(name: str = "web 7 on a", **more: object) -> Demand:
    figures: dict[str, object] = {
        "program": "web",
        "pool_size": 20,
        "capacity": 50,
        "arrivals_per_second": 100.0,
        "hold_seconds": 0.02,
        "wait_p95_seconds": 0.0001,
        "timeouts": 0,
    }
    return Demand(name=name, **{**figures, **more})  # type: ignore[arg-type]


def kinds(found: list[Advice] | tuple[Advice, ...]) -> list[Kind]:
    return [advice.kind for advice in found]


def test_a_pool_that_suffices_is_left_alone() -> None:
    assert list(advise([demand()], Room(100, 3, 10))) == []


def test_a_load_above_the_pool_raises_it_to_what_erlang_asks() -> None:
    (found,) = advise([demand(capacity=5, pool_size=5, arrivals_per_second=400.0)], Room(100, 3, 10))
    assert (found.kind, found.pool_size) == (Kind.RAISE, 14)
    assert "raise database_pool_size to 14" in found.text
    assert "8.0 are in use on average" in found.text


def test_the_server_must_have_what_overflows_besides() -> None:
    short = demand(pool_size=5, capacity=15, arrivals_per_second=1000.0)
    needed = connections_needed(20.0)
    assert kinds(list(advise([short], Room(needed + 10, 0, 0)))) == [Kind.RAISE]
    assert kinds(list(advise([short], Room(needed + 9, 0, 0)))) == [Kind.USE_POOLER]


def test_a_burst_raises_it_by_those_who_waited() -> None:
    burst = demand(capacity=10, timeouts=4, most_checked_out=10, most_wanted=16)
    (found,) = advise([burst], Room(100, 3, 10))
    assert (found.kind, found.pool_size) == (Kind.RAISE, 16)
    assert "may open 10 and refused 4 times; up to 16 were wanted at once" in found.text


def test_a_long_holder_is_named_and_the_pool_not_raised_for_it() -> None:
    stuck = demand(
        capacity=2,
        timeouts=9,
        most_checked_out=2,
        most_wanted=8,
        arrivals_per_second=1.0,
        longest_hold_seconds=42.0,
        longest_holder="shop/orders.py:40 export",
    )
    (found,) = advise([stuck], Room(100, 3, 10))
    assert found.kind is Kind.SHORTEN
    assert "42 s, taken at shop/orders.py:40 export" in found.text


def test_more_than_the_server_has_asks_for_a_pooler_instead() -> None:
    (found,) = advise([demand(f"web {number}") for number in range(4)], Room(100, 3, 10), "db:5432/shop")
    assert (found.kind, found.target) == (Kind.USE_POOLER, "db:5432/shop")
    assert "4 may open 200 connections together, of 100 there are 87 left" in found.text


def test_processes_of_one_program_are_told_one_size_that_suffices_for_each() -> None:
    busy = [demand(f"web {number}", capacity=5, arrivals_per_second=300.0 + 100 * number) for number in range(3)]
    (found,) = advise([*busy, demand("worker 9", program="worker")], None)
    assert (found.target, found.pool_size) == ("web 2", connections_needed(500.0 * 0.02))


def test_the_server_must_have_as_much_for_each_process_of_a_program_as_for_the_busiest() -> None:
    busy = [demand(f"web {number}", capacity=5, arrivals_per_second=number * 400.0) for number in range(4)]
    needed = connections_needed(3 * 400.0 * 0.02)
    assert kinds(list(advise(busy, Room(4 * needed, 0, 0)))) == [Kind.RAISE]
    assert kinds(list(advise(busy, Room(4 * needed - 1, 0, 0)))) == [Kind.USE_POOLER]


@given(st.lists(demands, max_size=5), st.none() | rooms)
def test_nobody_is_told_to_open_more_than_the_server_has(processes: list[Demand], room: Room | None) -> None:
    found = list(advise(processes, room))
    raised = [advice.pool_size or 0 for advice in found if advice.kind is Kind.RAISE]
    if room is not None and raised:
        assert sum(raised) <= room.for_pools
        assert Kind.USE_POOLER not in kinds(found)


@given(demands)
def test_a_raise_is_above_what_may_be_opened_and_covers_the_load(process: Demand) -> None:
    for advice in advise([process], None):
        if advice.kind is Kind.RAISE:
            assert process.capacity is not None
            assert advice.pool_size is not None
            assert advice.pool_size > process.capacity
            assert advice.pool_size > process.load or advice.pool_size == 10_000


@given(demands)
def test_whoever_holds_long_is_always_named(process: Demand) -> None:
    told = Kind.SHORTEN in kinds(tuple(advise([process], None)))
    assert told == (process.longest_hold_seconds >= LONG_HOLD_SECONDS)
