"""What we write as Unleash's feature state is decided by Unleash's own engine as the kit decides it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yggdrasil_engine.engine import UnleashEngine

from opsbook.flags.evaluation import Evaluation, evaluate
from opsbook.flags.interchange.interface import Bundle
from opsbook.flags.interchange.unleash import read_unleash
from opsbook.flags.interchange.unleash_writer import write_unleash
from opsbook.flags.model import Flag, flag_from, segment_from
from opsbook.flags.snapshot import Snapshot

IDENTITIES = 1_000

SEGMENTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "paying": [{"field": "plan", "operator": "in", "values": ["pro", "team"]}],
    "inside": [{"field": "address", "operator": "in_network", "values": ["10.0.0.0/8", "2001:db8::/32"]}],
}
ARMS = [{"name": "blue", "weight": 1}, {"name": "red", "weight": 3}, {"name": "green", "weight": 2}]
SOON = datetime.now(UTC) + timedelta(days=1)
PAST = datetime.now(UTC) - timedelta(days=1)


def rule(*constraints: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    return {"constraints": list(constraints), **rest}


def ask(field: str, operator: str, *values: Any, **rest: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "values": list(values), **rest}


def only(*rules: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    return {"rollout_percentage": 0, "rules": list(rules), **rest}


FLAGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "off": {"enabled": False},
    "killed": {"kill_switch": True},
    "archived": {"archived_at": PAST},
    "expired": {"expires_at": PAST, "off_when_expired": True},
    "reminded": {"expires_at": PAST},
    "expiring": {"expires_at": SOON, "off_when_expired": True, "rollout_percentage": 60},
    "nobody": {"rollout_percentage": 0},
    "half": {"rollout_percentage": 50},
    "one": {"rollout_percentage": 1},
    "among": {"rollout_percentage": 10, "rules": [rule(ask("plan", "in", "pro"))]},
    "persons": only(rule(ask("targetingKey", "in", "user-1", "user-3"))),
    "not-among": only(rule(ask("plan", "not_in", "free", "team"))),
    "not-not-among": only(rule(ask("plan", "not_in", "free", inverted=True))),
    "among-any-case": only(rule(ask("email", "in", "AB1@example.ORG", "c@x.com", case_insensitive=True))),
    "not-among-any-case": only(rule(ask("email", "not_in", "AB1@example.ORG", case_insensitive=True))),
    "texts": only(
        rule(ask("email", "ends_with", "@EXAMPLE.org", case_insensitive=True)),
        rule(ask("email", "starts_with", "a", "b"), ask("email", "contains", ".com", inverted=True)),
    ),
    "numbers": only(rule(ask("age", "number_at_least", 18), ask("age", "number_below", 40.5))),
    "number-equals": only(rule(ask("age", "number_equals", "21"))),
    "above": only(rule(ask("age", "number_above", 30)), rule(ask("age", "number_at_most", 3))),
    "versions": only(rule(ask("app", "version_at_least", "1.4.0-beta.2"))),
    "older": only(rule(ask("app", "version_below", "2.0.0"), ask("app", "version_above", "1.0.0"))),
    "same": only(rule(ask("app", "version_equals", "1.4.0")), rule(ask("app", "version_at_most", "0.9.9"))),
    "dates": only(rule(ask("currentTime", "date_after", "2026-01-01T00:00:00Z"))),
    "before": only(rule(ask("currentTime", "date_before", "2026-01-01T01:00:00+01:00", inverted=True))),
    "network": only(rule(segments=["inside"], percentage=60)),
    "pattern": only(rule(ask("email", "matches", r"^[a-c]+\d*@"))),
    "sticky": only(rule(percentage=40, stickiness="plan", group="shared")),
    "sticky-for-all": only(rule(stickiness="plan")),
    "variants": {"rollout_percentage": 90, "variants": ARMS, "rules": [rule(segments=["paying"], variants=ARMS[:2])]},
    "sticky-variants": {"variants": [{**arm, "stickiness": "email"} for arm in ARMS]},
    "overridden": {"variants": [{**ARMS[0], "overrides": [{"field": "plan", "values": ["pro"]}]}, *ARMS[1:]]},
    "valued": {"value_type": "string", "variants": [{**arm, "value": arm["name"]} for arm in ARMS]},
    "dealt-by-a-field": only(rule(variants=ARMS, stickiness="email")),
    "first-counts": only(rule(ask("plan", "in", "pro")), rule(variants=ARMS)),
    "dependent": {"prerequisites": [{"flag": "half"}, {"flag": "variants", "variants": ["red", "green"]}]},
    "plainly-dependent": {"prerequisites": [{"flag": "half", "variants": ["on"]}]},
    "contrary": {"prerequisites": [{"flag": "half", "enabled": False}]},
}


BY_EMAIL = ("sticky-variants", "dealt-by-a-field")
"""Who lacks the field gets a variant by chance there."""


def identities(count: int, seed: int) -> Iterator[dict[str, str]]:
    chance = random.Random(seed)
    fields: Mapping[str, Sequence[str]] = {
        "userId": ["ü", *(f"user-{number}" for number in range(count))],
        "sessionId": [f"session-{number}" for number in range(count)],
        "plan": ["pro", "free", "team"],
        "email": ["ab1@example.org", "AB1@Example.ORG", "c@x.com", "z@y.net"],
        "age": ["3", "17.999", "18", "18.0", "40.5", "21", "21.0", "x"],
        "app": ["1.4.0", "1.4.0-beta.10", "1.4.0-beta.2", "1.4.0-alpha", "0.9.9", "2.0.0-rc.1", "1.4", "10.0.0"],
        "currentTime": ["2026-01-01T00:00:00Z", "2025-12-31T23:59:59.999Z", "2025-06-01T12:30:00+02:00"],
        "address": ["10.1.2.3", "11.1.2.3", "2001:db8::7", "::1", "x"],
    }
    for _ in range(count):
        yield {field: chance.choice(values) for field, values in fields.items() if chance.random() < 0.8}


def snapshot(flags: Mapping[str, Mapping[str, Any]]) -> Snapshot:
    given = [flag_from({"name": name, "enabled": True, **fields}) for name, fields in flags.items()]
    return Snapshot.of(1, given, [segment_from({"name": n, "constraints": c}) for n, c in SEGMENTS.items()])


def engine(kept: Snapshot, *, inline: bool = False) -> UnleashEngine:
    flags, segments = kept.parts()
    made = UnleashEngine()
    made.take_state(json.dumps(write_unleash(Bundle([*flags.values()], segments), inline_segments=inline).body))
    return made


def differences(kept: Snapshot, asked: Sequence[Mapping[str, str]], *, inline: bool = False) -> list[Any]:
    theirs = engine(kept, inline=inline)
    return [
        (name, context, kit, unleash)
        for context in asked
        for name, compiled in kept.flags.items()
        if (kit := _ours(evaluate(compiled, context, kept.flags), compiled.flag, context))
        != (unleash := _theirs(theirs, name, context, compiled.flag))
    ]


def _deals_by_chance(flag: Flag, context: Mapping[str, str]) -> bool:
    return not context.keys() & {"userId", "sessionId"} or ("email" not in context and flag.name in BY_EMAIL)


def _ours(found: Evaluation, flag: Flag, context: Mapping[str, str]) -> tuple[bool, str]:
    plain = not found.enabled or found.variant == "on" or _deals_by_chance(flag, context)
    return found.enabled, "disabled" if plain else str(found.variant)


def _theirs(unleash: UnleashEngine, name: str, context: Mapping[str, str], flag: Flag) -> tuple[bool, str]:
    known = {"userId", "sessionId", "currentTime"}
    asked = {
        **{field: value for field, value in context.items() if field in known},
        "properties": {field: value for field, value in context.items() if field not in known},
    }
    # The engine takes the present moment for granted where its caller fills it in.
    asked.setdefault("currentTime", datetime.now(UTC).isoformat())
    on = unleash.is_enabled(name, asked).is_enabled
    return on, "disabled" if _deals_by_chance(flag, context) else unleash.get_variant(name, asked).variant.name


@pytest.mark.parametrize("inline", [False, True], ids=["segments", "inlined"])
def test_the_kit_and_unleash_agree(inline: bool) -> None:
    assert differences(snapshot(FLAGS), [*identities(IDENTITIES, seed=1)], inline=inline) == []


def left_out_of(flags: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    kept, segments = snapshot(flags).parts()
    return {each.flag: each.what for each in write_unleash(Bundle([*kept.values()], segments)).left_behind}


def test_what_unleash_cannot_say_is_listed_and_errs_towards_off() -> None:
    flags: Mapping[str, Mapping[str, Any]] = {
        "hundredths": {"rollout_percentage": 33.37},
        "date": only(rule(ask("since", "date_after", "2026-01-01T00:00:00Z"), name="newcomers")),
        "newer": only(rule(ask("plan", "of_a_newer_version", 5))),
        "false": {"variants": [{"name": "no", "value": False}, {"name": "yes", "value": True}]},
        "two-fields": only(rule(variants=[{**ARMS[0], "stickiness": "plan"}], percentage=50)),
        "middle": {"prerequisites": [{"flag": "date", "enabled": False}]},
        "deep": {"prerequisites": [{"flag": "middle"}]},
    }
    left = left_out_of(flags)
    assert left.keys() == {"hundredths", "date", "newer", "false", "two-fields", "deep"}
    assert "33 %" in left["hundredths"]
    assert "'newcomers'" in left["date"]
    wrong = [found for found in differences(snapshot(flags), [*identities(IDENTITIES, seed=2)]) if found[3][0]]
    assert wrong == [], "Unleash lets somebody in whom the kit does not"


def test_nothing_else_is_left_behind() -> None:
    assert left_out_of(FLAGS) == {}


def test_a_context_without_any_key_is_outside_a_part_of_all() -> None:
    unleash = engine(snapshot({"half": {"rollout_percentage": 99}}))
    assert not any(unleash.is_enabled("half", {}).is_enabled for _ in range(100))


FIELDS = ["plan", "email", "age", "targetingKey"]
constraints = st.builds(
    ask,
    st.sampled_from(FIELDS),
    st.sampled_from(["in", "not_in", "contains", "starts_with", "ends_with"]),
    st.sampled_from(["pro", "free", "a", "@example.org", "21", "user-7"]),
    inverted=st.booleans(),
    case_insensitive=st.booleans(),
)
rules = st.builds(
    lambda asked, rest: rule(*asked, **rest),
    st.lists(constraints, max_size=3),
    st.fixed_dictionaries(
        {
            "percentage": st.integers(0, 100),
            "stickiness": st.sampled_from(["default", *FIELDS]),
            "group": st.sampled_from([None, "shared"]),
            "segments": st.lists(st.sampled_from([*SEGMENTS]), max_size=2, unique=True),
            "variants": st.sampled_from([[], ARMS]),
        }
    ),
)
flags = st.fixed_dictionaries(
    {
        "rollout_percentage": st.integers(0, 100),
        "rules": st.lists(rules, max_size=3),
        "variants": st.sampled_from([[], ARMS[:2]]),
    }
)


@settings(max_examples=200, deadline=None)
@given(flags, st.integers())
def test_the_kit_and_unleash_agree_on_any_flag(fields: Mapping[str, Any], seed: int) -> None:
    complete = [each for each in identities(60, seed) if each.keys() >= {"userId", "email", "plan", "age"}]
    assert differences(snapshot({"any": fields}), complete) == []


@settings(max_examples=60, deadline=None)
@given(flags, st.integers())
def test_what_is_written_and_read_again_decides_the_same(fields: Mapping[str, Any], seed: int) -> None:
    kept = snapshot({"any": fields})
    given_flags, segments = kept.parts()
    bundle = read_unleash(json.dumps(write_unleash(Bundle([*given_flags.values()], segments)).body).encode())
    again = Snapshot.of(1, bundle.flags, bundle.segments)
    for context in identities(100, seed):
        first, second = (evaluate(each.flags["any"], context, each.flags) for each in (kept, again))
        assert (first.enabled, first.variant) == (second.enabled, second.variant)
