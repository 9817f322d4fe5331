"""GrowthBook's features, read; GrowthBook's own client is the judge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from growthbook import GrowthBook

from opsbook.core.errors import Invalid
from opsbook.flags.evaluation import evaluate
from opsbook.flags.interchange.growthbook import read_growthbook
from opsbook.flags.snapshot import Snapshot
from tests.flags.interchange.test_flagd import people


def forced(condition: Mapping[str, Any], value: Any = True, **rest: Any) -> dict[str, Any]:
    return {"defaultValue": False, "rules": [{"id": "r", "condition": condition, "force": value, **rest}]}


FEATURES: dict[str, Any] = {
    "on": {"defaultValue": True},
    "off": {"defaultValue": False},
    "colour": {"defaultValue": "#000", "rules": [{"condition": {"plan": "pro"}, "force": "#f00"}]},
    "number": {"defaultValue": 5, "rules": [{"condition": {"plan": "pro"}, "force": 7.5}]},
    "object": {"defaultValue": {"a": 1}},
    "equal": forced({"plan": "pro"}),
    "unequal": forced({"plan": {"$ne": "pro"}}),
    "among": forced({"plan": {"$in": ["pro", "team"]}}),
    "not-among": forced({"plan": {"$nin": ["pro", "team"]}}),
    "range": forced({"age": {"$gte": 18, "$lt": 30}}),
    "either": forced({"$or": [{"plan": "team"}, {"age": {"$gt": 30}}]}),
    "neither": forced({"$nor": [{"plan": "team"}, {"age": {"$gt": 30}}]}),
    "both": forced({"$and": [{"plan": "pro"}, {"age": {"$lte": 18}}]}),
    "not": forced({"$not": {"plan": "pro"}}),
    "not-so": forced({"plan": {"$not": {"$in": ["pro"]}}}),
    "pattern": forced({"email": {"$regex": "^[a-c]"}}),
    "version": forced({"app": {"$vgte": "1.4.0", "$vlt": "2.0.0"}}),
    "there": forced({"missing": {"$exists": False}}),
    "shadowed": {
        "defaultValue": True,
        "rules": [{"condition": {"plan": "free"}, "force": False}, {"condition": {"age": {"$gt": 20}}, "force": True}],
    },
    "person": forced({"id": {"$in": ["user-3", "user-5"]}}),
}


def read(features: Mapping[str, Any]) -> tuple[Snapshot, list[str]]:
    bundle = read_growthbook(json.dumps({"status": 200, "features": features}).encode())
    return Snapshot.of(1, bundle.flags), [each.what for each in bundle.left_behind]


def test_what_is_read_decides_as_growthbook_does() -> None:
    kept, left = read(FEATURES)
    assert left == []
    for context in people(200, seed=3):
        attributes = {("id" if name == "targetingKey" else name): value for name, value in context.items()}
        client = GrowthBook(attributes=attributes, features=FEATURES)
        for name, compiled in kept.flags.items():
            assert evaluate(compiled, context, kept.flags).value == client.eval_feature(name).value, (name, context)


def test_an_experiment_keeps_its_shares() -> None:
    rule = {"key": "x", "variations": ["a", "b"], "weights": [0.25, 0.75], "coverage": 0.5}
    kept, left = read({"f": {"defaultValue": "c", "rules": [rule]}})
    assert "shares" in left[0] or "share" in left[0]
    values = [evaluate(kept.flags["f"], {"targetingKey": f"u{n}"}, kept.flags).value for n in range(4_000)]
    assert [round(values.count(each) / len(values), 1) for each in "abc"] == [0.1, 0.4, 0.5]


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"condition": {"tags": {"$elemMatch": {"$eq": "x"}}}, "force": True}, "$elemMatch"),
        ({"condition": {"company.size": 5}, "force": True}, "company.size"),
        ({"condition": {"id": {"$inGroup": "g"}}, "force": True}, "$inGroup"),
        ({"condition": {"age": {"$gt": "b"}}, "force": True}, "$gt"),
        ({"parentConditions": [{"id": "p", "condition": {"value": True}}], "force": True}, "another feature"),
        ({"namespace": ["n", 0, 0.5], "variations": [True, True]}, "namespace"),
        ({"variations": [True], "weights": [0.5, 0.5]}, "weights"),
        ({}, "neither"),
    ],
)
def test_what_rules_cannot_say_is_listed(rule: Mapping[str, Any], named: str) -> None:
    kept, left = read({"f": {"defaultValue": False, "rules": [rule]}})
    assert named in left[0]
    assert evaluate(kept.flags["f"], {"targetingKey": "u"}, kept.flags).enabled is False


@pytest.mark.parametrize("text", [b"", b"{}", b'{"features": {"f": 5}}', b"\xff"])
def test_what_is_no_answer_of_growthbook_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="no features of GrowthBook"):
        read_growthbook(text)
