"""How many connections a load needs, by queueing theory."""

from __future__ import annotations

import math

MOST_CONNECTIONS = 10_000
"""More than any Postgres server is run with; a load above that is told as this."""


def offered_load(arrivals_per_second: float, hold_seconds: float) -> float:
    """How many connections are out on average: L = λ·W, whatever the distributions (J. D. C. Little, 1961)."""
    return arrivals_per_second * hold_seconds


def chance_of_waiting(load: float, connections: int) -> float:
    """The share of those who ask that would find no connection free: Erlang's C formula (A. K. Erlang, 1917).

    It supposes that people come independently of one another and may wait. By the recursion of Erlang's B,
    B(0) = 1, B(c) = a·B(c−1) / (c + a·B(c−1)), and C = B / (1 − (1 − B)·a/c).

    Args:
        load: Connections in use on average, a.
        connections: What the pool may open, c.
    """
    if connections <= load:
        return 1.0
    blocked = 1.0
    for count in range(1, connections + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / connections * (1 - blocked))


def connections_needed(load: float, share_waiting: float = 0.05) -> int:
    """The fewest connections with which no more than that share of those who ask must wait; one at least."""
    if load >= MOST_CONNECTIONS:
        return MOST_CONNECTIONS
    blocked, connections = 1.0, 0
    while True:
        connections += 1
        blocked = load * blocked / (connections + load * blocked)
        waiting = blocked / (1 - load / connections * (1 - blocked)) if connections > load else 1.0
        if waiting <= share_waiting or math.isclose(waiting, share_waiting):
            return connections
