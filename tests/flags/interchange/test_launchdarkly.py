"""LaunchDarkly's flags, read from what its REST API answers and from the data of an SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from opsbook.core.errors import Invalid
from opsbook.flags.evaluation import evaluate
from opsbook.flags.interchange.interface import Bundle
from opsbook.flags.interchange.launchdarkly import read_launchdarkly
from opsbook.flags.snapshot import Snapshot

COLOURS = [{"value": "#f00", "name": "red"}, {"value": "#00f", "name": "blue"}]
YES_NO = [{"value": True}, {"value": False}]


def clause(attribute: str, op: str, *values: Any, **rest: Any) -> dict[str, Any]:
    return {"attribute": attribute, "op": op, "values": list(values), "negate": False, "contextKind": "user", **rest}


def flag(variations: Any = YES_NO, *, key: str = "f", **setting: Any) -> dict[str, Any]:
    given = {"on": True, "fallthrough": {"variation": 1}, "offVariation": 1, **setting}
    return {"key": key, "name": "A flag", "tags": ["t"], "variations": variations, "environments": {"test": given}}


def rules(*clauses: Mapping[str, Any], variation: int = 0) -> list[dict[str, Any]]:
    return [{"description": "the rule", "clauses": list(clauses), "variation": variation}]


def read(*items: Mapping[str, Any], environment: str | None = None) -> Bundle:
    return read_launchdarkly(json.dumps({"items": list(items)}).encode(), environment)


def value(bundle: Bundle, name: str = "f", key: str = "u", **context: Any) -> Any:
    kept = Snapshot.of(1, bundle.flags)
    return evaluate(kept.flags[name], {"targetingKey": key, **context}, kept.flags).value


def test_targets_come_before_rules_and_rules_before_everybody_else() -> None:
    given = flag(targets=[{"values": ["friend"], "variation": 0}], rules=rules(clause("plan", "in", "pro")))
    bundle = read(given)
    assert bundle.left_behind == []
    assert (value(bundle, key="friend"), value(bundle, plan="pro"), value(bundle)) == (True, True, False)
    (found,) = bundle.flags
    assert (found.description, found.tags) == ("A flag", ["t"])


def test_a_target_may_be_shut_out() -> None:
    given = flag(targets=[{"values": ["foe"], "variation": 1}], fallthrough={"variation": 0})
    assert (value(read(given), key="foe"), value(read(given))) == (False, True)


@pytest.mark.parametrize(
    ("asked", "inside", "outside"),
    [
        (clause("email", "endsWith", ".org", ".net"), {"email": "a@b.net"}, {"email": "a@b.com"}),
        (clause("email", "startsWith", "a"), {"email": "a@b.net"}, {"email": "b@b.net"}),
        (clause("email", "contains", "@b"), {"email": "a@b.net"}, {"email": "a@c.net"}),
        (clause("email", "matches", "^x", "^a"), {"email": "a@b.net"}, {"email": "b@b.net"}),
        (clause("age", "lessThan", 18), {"age": 17}, {"age": 18}),
        (clause("age", "greaterThanOrEqual", 18), {"age": 18}, {"age": 17}),
        (clause("app", "semVerGreaterThan", "1.2.0"), {"app": "1.10.0"}, {"app": "1.2.0"}),
        (
            clause("since", "before", 1767225600000),
            {"since": "2025-12-31T00:00:00Z"},
            {"since": "2026-06-01T00:00:00Z"},
        ),
        (clause("plan", "in", "free", negate=True), {"plan": "pro"}, {"plan": "free"}),
        (clause("plan", "in", "free", negate=True), {"plan": "pro"}, {}),
        (clause("key", "in", "u"), {}, {"key": "other"}),
    ],
)
def test_clauses(asked: Mapping[str, Any], inside: dict[str, Any], outside: dict[str, Any]) -> None:
    bundle = read(flag(rules=rules(asked)))
    assert (value(bundle, **inside), value(bundle, **outside)) == (True, False)


def test_a_rollout_keeps_its_shares() -> None:
    rollout = {"variations": [{"variation": 0, "weight": 25000}, {"variation": 1, "weight": 75000}]}
    bundle = read(flag(COLOURS, fallthrough={"rollout": rollout}, offVariation=None))
    assert "share" in bundle.left_behind[0].what
    values = [value(bundle, key=f"u{n}") for n in range(2_000)]
    assert 0.2 < values.count("#f00") / len(values) < 0.3


def test_a_flag_that_is_off_is_off_and_its_off_value_is_told() -> None:
    bundle = read(flag(COLOURS, on=False, offVariation=1))
    assert value(bundle) is None
    assert "'blue'" in bundle.left_behind[0].what


def test_prerequisites() -> None:
    parent = flag(COLOURS, key="parent", rules=rules(clause("plan", "in", "pro")), offVariation=None)
    needing = flag(fallthrough={"variation": 0}, prerequisites=[{"key": "parent", "variation": 0}])
    bundle = read(needing, parent)
    assert (value(bundle, plan="pro"), value(bundle, plan="free")) == (True, False)


def test_the_data_of_an_sdk_with_segments() -> None:
    matching = {"attribute": "", "op": "segmentMatch", "values": ["s"]}
    setting = {"on": True, "variations": [True, False], "fallthrough": {"variation": 1}, "offVariation": 1}
    segment = {"included": ["friend"], "excluded": ["foe"], "rules": [{"clauses": [clause("plan", "in", "pro")]}]}
    data = {"flags": {"f": {**setting, "rules": rules(matching)}}, "segments": {"s": segment}}
    bundle = read_launchdarkly(json.dumps(data).encode())
    assert value(bundle, key="friend") is True
    assert value(bundle, key="foe", plan="pro") is False
    assert (value(bundle, plan="pro"), value(bundle)) == (True, False)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"rules": rules(clause("a", "in", "x", contextKind="company"))}, "company"),
        ({"rules": rules(clause("/address/city", "in", "x"))}, "/address/city"),
        ({"rules": rules(clause("a", "soundsLike", "x"))}, "soundsLike"),
        ({"rules": rules(clause("", "segmentMatch", "big"))}, "'big'"),
        ({"contextTargets": [{"values": ["x"], "variation": 0, "contextKind": "device"}]}, "device"),
        ({"fallthrough": {}}, "everybody else"),
    ],
)
def test_what_rules_cannot_say_is_listed(setting: dict[str, Any], named: str) -> None:
    bundle = read(flag(**setting))
    assert named in bundle.left_behind[0].what
    assert value(bundle, a="x") is False


def test_an_environment_must_be_chosen_where_there_are_several() -> None:
    several = flag()
    several["environments"]["production"] = {"on": False}
    with pytest.raises(Invalid, match="test, production: choose one"):
        read(several)
    assert read(several, environment="production").flags[0].enabled is False
    with pytest.raises(Invalid, match="choose one"):
        read(several, environment="staging")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"items": [5]}', b"\xff"])
def test_what_is_no_export_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="no export of LaunchDarkly"):
        read_launchdarkly(text)


@pytest.mark.parametrize("variation", [-1, 2])
def test_a_variation_that_is_none_is_refused(variation: int) -> None:
    with pytest.raises(Invalid, match="it has 2"):
        read(flag(fallthrough={"variation": variation}))
    parent = flag(key="parent")
    with pytest.raises(Invalid, match="it has 2"):
        read(parent, flag(prerequisites=[{"key": "parent", "variation": variation}]))
