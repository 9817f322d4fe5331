"""Evaluates ten million times, for a million people, counting what they see: does memory grow?"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Sequence

import psutil

from benchmarks._agreement import FLAGS, PAYING
from opsbook import Flags
from opsbook.flags.exposures.counting import Counts
from opsbook.flags.model import flag_from, segment_from
from opsbook.flags.snapshot import Snapshot
from opsbook.flags.sources.interface import Receiver, Source

EVALUATIONS = 10_000_000
PEOPLE = 1_000_000
TRACED = 200_000
"""Of them before and after with tracemalloc, under which each takes several times as long."""
LARGEST_GROWTH_MIB = 4.0
LARGEST_GROWTH_BYTES = 50_000
REPORT_EVERY = 1_000_000


class Counted(Source):
    """Delivers nothing, and takes the counts as a server would."""

    def __init__(self) -> None:
        self.total = 0

    @property
    def identity(self) -> str:
        return "counted"

    def start(self, receiver: Receiver) -> None:
        pass

    def stop(self) -> None:
        pass

    def report(self, counts: Counts) -> None:
        self.total += sum(counts.values())

    def forget_thread(self) -> None:
        pass


def main() -> int:
    """Evaluate, and tell the growth; 1 if there is any to speak of."""
    source = Counted()
    kit = Flags(source)
    flags = [flag_from({"name": name, "enabled": True, **fields}) for name, fields in FLAGS.items()]
    kit.receive(Snapshot.of(1, flags, [segment_from({"name": "paying", "constraints": PAYING})]))
    names, chance = [*FLAGS], random.Random(1)
    evaluate(kit, names, chance, PEOPLE // 10)
    kit.report_exposures()
    before, began, counted = resident_mib(), time.monotonic(), source.total
    for _ in range(EVALUATIONS // REPORT_EVERY):
        evaluate(kit, names, chance, REPORT_EVERY)
        kit.report_exposures()
    took, grown, counted = time.monotonic() - began, resident_mib() - before, source.total - counted
    allocated = traced_growth(kit, names, chance)
    kit.close()
    print(f"{EVALUATIONS:,} evaluations in {took:.0f} s, {counted:,} counted")
    print(
        f"resident {before:.1f} MiB before, {grown:+.1f} MiB after; {allocated:+,} bytes in {TRACED:,} more evaluations"
    )
    return 1 if grown > LARGEST_GROWTH_MIB or allocated > LARGEST_GROWTH_BYTES else 0


def evaluate(kit: Flags, names: Sequence[str], chance: random.Random, times: int) -> None:
    """Ask for one flag after another, each time for one of a million people."""
    for number in range(times):
        user = chance.randrange(PEOPLE)
        context = {"targetingKey": f"user-{user}", "email": f"a{user}@example.org", "plan": "pro", "age": user % 90}
        kit.evaluate(names[number % len(names)], context)


def traced_growth(kit: Flags, names: Sequence[str], chance: random.Random) -> int:
    """The bytes that Python objects grew by in some more evaluations."""
    tracemalloc.start()
    evaluate(kit, names, chance, TRACED)
    kit.report_exposures()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    evaluate(kit, names, chance, TRACED)
    kit.report_exposures()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


def resident_mib() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20
