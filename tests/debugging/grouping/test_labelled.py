"""How well events are grouped, on events of which we know the groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import orjson

from opsbook.debugging.grouping import group
from opsbook.debugging.grouping.variables import without_variables
from opsbook.debugging.protocol.event import Event
from tests.debugging.events import event_of
from tests.debugging.grouping.labelled import PROBLEMS, labelled_events


def test_events_of_a_problem_are_grouped_and_better_than_by_message_alone() -> None:
    labels, events = zip(
        *((label, event_of(orjson.dumps(payload))) for label, payload in labelled_events()), strict=True
    )
    ours = pairwise_f1(labels, [group(event).fingerprint for event in events])
    by_message = pairwise_f1(labels, list(map(_message, events)))
    print(f"{len(set(labels))} problems, {len(events)} events: F1 {ours:.3f}, by message alone {by_message:.3f}")
    assert len(PROBLEMS) >= 60
    assert ours >= 0.95
    assert ours > by_message


def test_f1_of_a_perfect_and_of_a_coarse_grouping() -> None:
    assert pairwise_f1([1, 1, 2, 2], ["a", "a", "b", "b"]) == 1
    # Two true pairs among six claimed: precision 1/3, recall 1.
    assert pairwise_f1([1, 1, 2, 2], ["a", "a", "a", "a"]) == 0.5


def pairwise_f1(labels: Sequence[Hashable], groups: Sequence[Hashable]) -> float:
    """The harmonic mean of precision and recall over the pairs of events that were put together."""
    together = _pairs(zip(labels, groups, strict=True))
    claimed, true = _pairs(groups), _pairs(labels)
    return 2 * together / (claimed + true)


def _pairs(keys: Sequence[Hashable] | zip[tuple[Hashable, Hashable]]) -> int:
    return sum(size * (size - 1) // 2 for size in Counter(keys).values())


def _message(event: Event) -> str:
    return "|".join(f"{e.type}: {without_variables(e.value or '')}" for e in event.exceptions) or without_variables(
        event.message
    )
