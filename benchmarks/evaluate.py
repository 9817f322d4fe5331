"""What asking for a flag costs a request, with 500 flags in memory."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from opsbook import Flags
from opsbook.flags import PostgresSource
from opsbook.flags.model import Flag
from opsbook.flags.snapshot import Snapshot

CALLS = 20_000
REPEATS = 15
FLAGS = 500


def main() -> None:
    """Ask from memory; the source is an address where nobody is, as in an outage."""
    kit = Flags(PostgresSource("postgresql://nobody@127.0.0.1:1/none"))
    others = [Flag(name=f"other-{number}", enabled=True) for number in range(FLAGS)]
    on = Flag(name="on", enabled=True)
    partial = Flag(name="partial", enabled=True, rollout_percentage=25)
    kit.receive(Snapshot.of(1, [on, partial, *others]))
    for name, what, ask in (
        ("on", "a flag that is on for everybody", lambda: kit.enabled("on", "user-17")),
        ("partial", "a flag at 25 %, which hashes the user", lambda: kit.enabled("partial", "user-17")),
        ("missing", "a flag that does not exist", lambda: kit.enabled("missing", "user-17")),
        ("explained", "a flag at 25 %, with its reason", lambda: kit.evaluate("partial", {"targetingKey": "user-17"})),
    ):
        figure = {"name": f"evaluate_{name}", "what": f"asking for {what}, of {FLAGS}: median of {REPEATS} × {CALLS:,}"}
        print(json.dumps({**figure, "value": round(microseconds(ask), 3), "unit": "µs"}))
    kit.close()


def microseconds(ask: Callable[[], object]) -> float:
    """The median duration of one call."""
    return statistics.median(timed(ask) for _ in range(REPEATS))


def timed(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        ask()
    return (time.perf_counter() - started) / CALLS * 1e6


if __name__ == "__main__":
    main()
