"""One evaluation beside the peers', in one run: a flag at 50 % with one rule, which leaves the user to the hash."""

from __future__ import annotations

import json
import logging
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from growthbook import GrowthBook
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from UnleashClient.cache import FileCache
from UnleashClient.clients.unleash_client import UnleashClient

from opsbook import Flags
from opsbook.flags import PostgresSource
from opsbook.flags.model import Flag
from opsbook.flags.snapshot import Snapshot, read_snapshot, write_snapshot
from opsbook.flags.targeting.model import Constraint, Rule

CALLS = 5_000
REPEATS = 15
TARGET_MICROSECONDS = 2.0
MOST_OF_A_PEERS_TIME = {"UnleashClient": 1 / 10, "growthbook": 1 / 2, "flagd-core": 1 / 5}
COLD_START_MILLISECONDS = 50.0
MEMORY_MEGABYTES = 10.0

FIELDS = {"plan": "free", "country": "DE"}
USER = "user-17"


def main() -> None:
    """Measure in turns, so that a busy moment hits all alike."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        asked = {
            "ours": ours(10),
            "ours, of 1,000 flags": ours(1_000),
            "UnleashClient": unleash(folder),
            "growthbook": growthbook(),
            "flagd-core": flagd(),
        }
        times: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(REPEATS):
            for name, ask in asked.items():
                times[name].append(timed(ask))
        report({name: statistics.median(values) for name, values in times.items()})
        cold_start(Path(folder) / "flags.json")
    memory()


def report(medians: dict[str, float]) -> None:
    mine = medians["ours"]
    what = f"50 % rollout and one rule, median of {REPEATS} × {CALLS:,}"
    figure("evaluate", f"`evaluate`, {what}", mine, "µs", TARGET_MICROSECONDS)
    many = medians["ours, of 1,000 flags"]
    figure("evaluate_flat", "`evaluate` among 1,000 flags, in times of that among 10", many / mine, "×", 1.2)
    for peer, most in MOST_OF_A_PEERS_TIME.items():
        share = mine / medians[peer]
        beside = {"peer": f"{peer} {medians[peer]:.1f} µs", "ratio": round(1 / share, 1)}
        figure(f"evaluate_beside_{peer}", f"`evaluate`, in times of {peer}'s", share, "×", most, **beside)


def cold_start(path: Path) -> None:
    write_snapshot(path, many_flags(1_000))
    times: list[float] = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        read_snapshot(path)
        times.append((time.perf_counter() - started) * 1000)
    figure(
        "snapshot_cold_start",
        "1,000 flags read from disk and compiled",
        statistics.median(times),
        "ms",
        COLD_START_MILLISECONDS,
    )


def memory() -> None:
    tracemalloc.start()
    kept = many_flags(1_000)
    megabytes = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    figure("snapshot_memory", f"memory of {len(kept.flags):,} flags", megabytes, "MB", MEMORY_MEGABYTES)


def figure(name: str, what: str, value: float, unit: str, target: float, **beside: Any) -> None:
    print(json.dumps({"name": name, "what": what, "value": round(value, 3), "unit": unit, "target": target, **beside}))


def timed(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        ask()
    return (time.perf_counter() - started) / CALLS * 1e6


def many_flags(count: int) -> Snapshot:
    rule = Rule(constraints=[Constraint(field="plan", operator="in", values=["pro"])])
    return Snapshot.of(
        1, [Flag(name=f"flag-{n}", enabled=True, rollout_percentage=50, rules=[rule]) for n in range(count)]
    )


def ours(count: int) -> Callable[[], object]:
    kit = Flags(PostgresSource("postgresql://nobody@127.0.0.1:1/none"))
    kit.receive(many_flags(count))
    context = {"targetingKey": USER, **FIELDS}
    return lambda: kit.evaluate("flag-1", context)


def unleash(folder: str) -> Callable[[], object]:
    cache = FileCache("benchmark", directory=folder)
    rule = {"contextName": "plan", "operator": "IN", "values": ["pro"]}
    strategies = [
        {"name": "default", "constraints": [rule], "parameters": {}},
        {"name": "flexibleRollout", "parameters": {"rollout": "50", "stickiness": "default", "groupId": "flag-1"}},
    ]
    cache.bootstrap_from_dict(
        {"version": 1, "features": [{"name": "flag-1", "enabled": True, "strategies": strategies, "variants": []}]}
    )
    client = UnleashClient(
        "http://127.0.0.1:1/api", "benchmark", cache=cache, disable_metrics=True, disable_registration=True
    )
    client.initialize_client(fetch_toggles=False)
    context = {"userId": USER, "properties": FIELDS}
    return lambda: client.is_enabled("flag-1", context)


def growthbook() -> Callable[[], object]:
    rules = [
        {"condition": {"plan": {"$in": ["pro"]}}, "force": True},
        {"force": True, "coverage": 0.5, "hashAttribute": "id"},
    ]
    book = GrowthBook(attributes={"id": USER, **FIELDS}, features={"flag-1": {"defaultValue": False, "rules": rules}})
    return lambda: book.eval_feature("flag-1")


def flagd() -> Callable[[], object]:
    half = {"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]}, ["on", 50], ["off", 50]]}
    targeting = {"if": [{"in": [{"var": "plan"}, ["pro"]]}, "on", half]}
    core = FlagdCore()
    flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", "targeting": targeting}
    core.set_flags(json.dumps({"flags": {"flag-1": flag}}))
    context = EvaluationContext(targeting_key=USER, attributes=FIELDS)
    return lambda: core.resolve_boolean_value("flag-1", False, context)


if __name__ == "__main__":
    main()
