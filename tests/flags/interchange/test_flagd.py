"""flagd's definitions, read and written: flagd's own evaluator is the judge of both."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from opsbook.core.errors import Invalid
from opsbook.flags.evaluation import evaluate
from opsbook.flags.interchange.flagd import read_flagd
from opsbook.flags.interchange.flagd_writer import write_flagd
from opsbook.flags.interchange.interface import Bundle
from opsbook.flags.model import Flag
from opsbook.flags.snapshot import Snapshot
from tests.flags.interchange.test_unleash_writer import FLAGS, snapshot

BOOLEAN = {"on": True, "off": False}
COLOURS = {"red": "#f00", "blue": "#00f", "none": "#000"}
PLAN, AGE, APP, EMAIL = ({"var": name} for name in ("plan", "age", "app", "email"))


def switch(targeting: Any, default: str = "off", **rest: Any) -> dict[str, Any]:
    return {"state": "ENABLED", "variants": BOOLEAN, "defaultVariant": default, "targeting": targeting, **rest}


def colour(targeting: Any, default: str | None = "none") -> dict[str, Any]:
    return {"state": "ENABLED", "variants": COLOURS, "defaultVariant": default, "targeting": targeting}


DEFINED: Mapping[str, Mapping[str, Any]] = {
    "plain": switch({}, "on"),
    "plainly-off": switch({}),
    "disabled": switch({}, "on", state="DISABLED"),
    "equal": switch({"if": [{"==": [PLAN, "pro"]}, "on"]}),
    "unequal": switch({"if": [{"!=": [PLAN, "pro"]}, "on", "off"]}),
    "among": switch({"if": [{"in": [PLAN, ["pro", "team"]]}, "on", "off"]}),
    "inside": switch({"if": [{"in": [".org", EMAIL]}, "on", "off"]}),
    "both": switch({"if": [{"and": [{"==": [PLAN, "pro"]}, {">=": [AGE, 18]}]}, "on", "off"]}),
    "either": switch({"if": [{"or": [{"==": [PLAN, "team"]}, {">": [AGE, 30]}]}, "on", "off"]}),
    "neither": switch({"if": [{"!": [{"or": [{"==": [PLAN, "team"]}, {"in": [".com", EMAIL]}]}]}, "on", "off"]}),
    "between": switch({"if": [{"<=": [18, AGE, 30]}, "on", "off"]}),
    "turned": switch({"if": [{"<": [20, AGE]}, "on", "off"]}),
    "starting": switch({"if": [{"starts_with": [EMAIL, "a"]}, "on", "off"]}),
    "ending": switch({"if": [{"ends_with": [EMAIL, ".org"]}, "on", "off"]}),
    "newer": switch({"if": [{"sem_ver": [APP, ">=", "1.4.0-beta.2"]}, "on", "off"]}),
    "major": switch({"if": [{"sem_ver": [APP, "^", "1.2.0"]}, "on", "off"]}),
    "minor": switch({"if": [{"sem_ver": [APP, "~", "1.4.0"]}, "on", "off"]}),
    "shadowed": switch({"if": [{"==": [PLAN, "free"]}, "off", {">": [AGE, 10]}, "on", "off"]}),
    "except": switch({"if": [{"==": [PLAN, "free"]}, "off"]}, "on"),
    "nested": colour({"if": [{"==": [PLAN, "pro"]}, {"if": [{">": [AGE, 20]}, "red", "blue"]}]}),
    "callers-choice": colour({"if": [{"==": [PLAN, "pro"]}, "red"]}, None),
    "shared": switch({"if": [{"$ref": "paying"}, "on", "off"]}),
}
EVALUATORS = {"paying": {"in": [PLAN, ["pro", "team"]]}}


def people(count: int, seed: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(seed)
    fields: Mapping[str, Any] = {
        "plan": ["pro", "free", "team"],
        "age": [3, 17.5, 18, 21, 30, 31],
        "app": ["1.4.0", "1.4.0-beta.10", "1.4.0-alpha", "0.9.9", "2.0.0", "1.9.3"],
        "email": ["ab1@example.org", "c@x.com", "z@y.net"],
    }
    for number in range(count):
        yield {"targetingKey": f"user-{number}", **{field: chance.choice(values) for field, values in fields.items()}}


def judged(core: FlagdCore, flag: Flag, context: Mapping[str, Any]) -> Any:
    """What flagd says a flag is: its value, or None where it leaves that to the caller."""
    asked = EvaluationContext(context["targetingKey"], {k: v for k, v in context.items() if k != "targetingKey"})
    off = False if flag.value_type == "boolean" else None
    resolve = core.resolve_boolean_value if flag.value_type == "boolean" else core.resolve_string_value
    found = resolve(flag.name, "the caller's" if flag.value_type == "string" else False, asked)  # type: ignore[arg-type]
    return off if found.value in ("the caller's", False) else found.value


def disagreements(definition: str, kept: Snapshot, contexts: Iterator[dict[str, Any]]) -> list[Any]:
    core = FlagdCore()
    core.set_flags(definition)
    return [
        (name, context, ours, theirs)
        for context in contexts
        for name, compiled in kept.flags.items()
        if (ours := evaluate(compiled, context, kept.flags).value) != (theirs := judged(core, compiled.flag, context))
    ]


def test_what_is_read_decides_as_flagd_does() -> None:
    definition = json.dumps({"flags": DEFINED, "$evaluators": EVALUATORS})
    bundle = read_flagd(definition.encode())
    assert bundle.left_behind == []
    assert disagreements(definition, Snapshot.of(1, bundle.flags), people(300, seed=1)) == []


def test_a_fraction_keeps_its_shares() -> None:
    fraction = {"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}, ["red", 25], ["blue", 75]]}
    bundle = read_flagd(json.dumps({"flags": {"f": colour(fraction)}}).encode())
    assert [each.what for each in bundle.left_behind] == [
        "a percentage keeps its share, but chooses other people: the systems hash differently"
    ]
    kept = Snapshot.of(1, bundle.flags)
    values = [evaluate(kept.flags["f"], {"email": f"{n}@x.org"}, kept.flags).value for n in range(2_000)]
    assert {"#f00", "#00f"} == set(values)
    assert 0.2 < values.count("#f00") / len(values) < 0.3


@pytest.mark.parametrize(
    ("targeting", "named"),
    [
        ({"if": [{"==": [{"%": [AGE, 2]}, 0]}, "on", "off"]}, "%"),
        ({"if": [PLAN, "on", "off"]}, "var"),
        ({"if": [{"some": [PLAN, True]}, "on", "off"]}, "some"),
        ({"if": [{">": [{"var": "$flagd.timestamp"}, 5]}, "on", "off"]}, "timestamp"),
        ({"var": "plan"}, "neither"),
        ({"if": [{"==": [PLAN, "pro"]}, "gone"]}, "gone"),
        ({"fractional": [["gone", 1]]}, "gone"),
    ],
)
def test_what_rules_cannot_say_is_listed(targeting: Any, named: str) -> None:
    bundle = read_flagd(json.dumps({"flags": {"f": switch(targeting)}}).encode())
    assert named in bundle.left_behind[0].what
    kept = Snapshot.of(1, bundle.flags)
    assert evaluate(kept.flags["f"], {"targetingKey": "u", "plan": "pro", "age": 2}, kept.flags).enabled is False


def test_nesting_that_multiplies_ends() -> None:
    deep: Any = {"==": [PLAN, "pro"]}
    for _ in range(200):
        deep = {"!": [deep]}
    wide = {"and": [{"or": [{"==": [PLAN, str(n)]}, {">": [AGE, n]}]} for n in range(20)]}
    for condition in (deep, wide):
        bundle = read_flagd(json.dumps({"flags": {"f": switch({"if": [condition, "on", "off"]})}}).encode())
        assert bundle.left_behind


@pytest.mark.parametrize("text", [b"", b"[]", b'{"flags": []}', b'{"flags": {"f": {"state": 1}}}', b"\xff"])
def test_what_is_no_definition_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="no flag definition"):
        read_flagd(text)


EXPORTED = [
    *("plain", "off", "killed", "archived", "nobody", "among", "persons", "not-among", "not-not-among", "numbers"),
    *("above", "versions", "older", "same", "number-equals"),
]


def test_what_is_written_decides_as_the_kit_does() -> None:
    chosen = {name: FLAGS[name] for name in EXPORTED if FLAGS[name].get("rollout_percentage", 0) in (0, 100)}
    soon = {"expires_at": datetime.now(UTC) + timedelta(days=1), "off_when_expired": True}
    kept = snapshot({**chosen, "expiring": soon, "expired": FLAGS["expired"]})
    flags, segments = kept.parts()
    text, left = write_flagd(Bundle([*flags.values()], segments))
    assert left == []
    contexts = [*people(300, seed=2), {"targetingKey": "user-3"}]
    assert disagreements(text.decode(), kept, iter(contexts)) == []


def test_what_flagd_cannot_say_is_listed_and_off() -> None:
    kept = snapshot({name: FLAGS[name] for name in ("pattern", "network", "dependent", "among-any-case", "half")})
    flags, segments = kept.parts()
    text, left = write_flagd(Bundle([*flags.values()], segments))
    assert {each.flag for each in left} == {"pattern", "network", "dependent", "among-any-case", "half"}
    core = FlagdCore()
    core.set_flags(text.decode())
    for name in ("pattern", "network", "dependent", "among-any-case"):
        assert judged(core, flags[name], {"targetingKey": "u", "email": "ab1@example.org"}) is False
    inside = [judged(core, flags["half"], {"targetingKey": f"user-{n}"}) for n in range(2_000)]
    assert 0.45 < inside.count(True) / len(inside) < 0.55
