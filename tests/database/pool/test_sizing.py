"""The formulas, against published figures and against a simulated queue's own laws."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.database.pool.sizing import MOST_CONNECTIONS, chance_of_waiting, connections_needed, offered_load

loads = st.floats(min_value=0.0, max_value=300.0)


def test_littles_law() -> None:
    assert offered_load(200.0, 0.025) == 5.0


@pytest.mark.parametrize(("load", "connections"), [(0.5, 1), (2.0, 3), (8.0, 10), (20.0, 24), (80.0, 90)])
def test_erlangs_formula_agrees_with_its_definition(load: float, connections: int) -> None:
    """C = (aᶜ/c!)·(c/(c−a)) / (Σₖ aᵏ/k! + (aᶜ/c!)·(c/(c−a))), computed by logarithms."""
    terms = [math.exp(k * math.log(load) - math.lgamma(k + 1)) for k in range(connections)]
    last = math.exp(connections * math.log(load) - math.lgamma(connections + 1)) * connections / (connections - load)
    assert chance_of_waiting(load, connections) == pytest.approx(last / (sum(terms) + last))


@given(loads, st.floats(min_value=0.001, max_value=0.5))
def test_as_many_as_needed_suffice_and_one_fewer_does_not(load: float, share: float) -> None:
    needed = connections_needed(load, share)
    assert chance_of_waiting(load, needed) <= share * (1 + 1e-9)
    if needed > 1:
        assert chance_of_waiting(load, needed - 1) > share


@given(loads, loads)
def test_more_load_never_needs_fewer(some: float, more: float) -> None:
    assert connections_needed(min(some, more)) <= connections_needed(max(some, more))


def test_an_absurd_load_is_answered_at_once() -> None:
    assert connections_needed(1e12) == MOST_CONNECTIONS
