"""What measuring a connection pool adds to each time a connection is taken and given back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool

from opsbook.database import metered

ROUNDS = 200
CHECKOUTS_A_ROUND = 200
FRAMES = 30
"""How deep the stack is that takes the connection, as in a request of a web service."""
TARGET_MICROSECONDS = 6.0


def main() -> None:
    """Take turns with an engine that is not measured, and compare the fastest rounds.

    What else the machine does only ever adds time: the fastest rounds come closest to the cost itself. SQLite in
    memory stands in for a database, for the pool does the same whatever it holds.
    """
    plain, again, measured = engine(), engine(), engine()
    metered(measured)
    rounds = [
        [called_deep(FRAMES, lambda of=each: a_round(of)) for each in (plain, again, measured)] for _ in range(ROUNDS)
    ]
    bare, control, ours = (min(of_one) for of_one in zip(*rounds, strict=True))
    what = f"a checkout measured, with the stack that took it; fastest of {ROUNDS} rounds of {CHECKOUTS_A_ROUND}"
    peer = f"the checkout without it {bare:.1f} µs; two alike differ by {abs(control - bare):.2f} µs"
    told = {"name": "pool_meter", "what": what, "value": round(ours - bare, 2), "unit": "µs"}
    print(json.dumps({**told, "target": TARGET_MICROSECONDS, "peer": peer}))


def engine() -> Engine:
    return create_engine("sqlite://", poolclass=QueuePool)


def called_deep(frames: int, function: Callable[[], float]) -> float:
    """The function's result, called from so deep a stack."""
    return called_deep(frames - 1, function) if frames else function()


def a_round(measured: Engine) -> float:
    """Microseconds a checkout, mean of a round."""
    began = time.perf_counter()
    for _ in range(CHECKOUTS_A_ROUND):
        measured.connect().close()
    return (time.perf_counter() - began) / CHECKOUTS_A_ROUND * 1e6


if __name__ == "__main__":
    main()
