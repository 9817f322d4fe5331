"""Purges that wait to be told: none is lost while some are carried away and others come."""

from __future__ import annotations

from opsbook.performance.cache.backlog import Backlog
from opsbook.performance.cache.purges import Purge


def of(number: int) -> Purge:
    return Purge("function", f"shop.f{number}")


def test_what_comes_while_others_are_told_stays() -> None:
    backlog = Backlog()
    backlog.add(of(1))
    under_way = backlog.purges
    backlog.add(of(2))
    backlog.told(under_way)
    assert backlog.purges == (of(2),)


def test_too_many_become_one_of_everything_which_those_under_way_do_not_strike_out() -> None:
    backlog = Backlog()
    for number in range(1000):
        backlog.add(of(number))
    under_way = backlog.purges
    assert len(under_way) == 1000
    backlog.add(of(1000))
    assert backlog.purges == (Purge("all"),)
    backlog.told(under_way[:1])
    backlog.told(under_way)
    assert backlog.purges == (Purge("all"),)
    assert backlog.concern("any other")


def test_it_can_be_looked_through_while_it_changes() -> None:
    backlog = Backlog()
    backlog.add(of(1))
    for _ in backlog.purges:
        backlog.add(of(2))
    assert backlog.concern("shop.f2")
    assert not backlog.concern("shop.f3")
