"""The kit and SQL say the same of every flag for every context."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.types.json import Jsonb

from opsbook.flags.evaluation import compile_flag, evaluate
from opsbook.flags.model import flag_from, segment_from
from opsbook.flags.targeting.compiled import constraint_predicate
from opsbook.flags.targeting.model import Constraint
from opsbook.flags.targeting.operators import network, number

IDENTITIES = 1_000
"""For each of the flags; `make soak` takes a hundred times as many, and asks OFREP and an Unleash client too."""

SEGMENTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "paying": [{"field": "plan", "operator": "in", "values": ["pro", "team"]}],
    "inside": [{"field": "address", "operator": "in_network", "values": ["10.0.0.0/8", "2001:db8::/32"]}],
}
ARMS = [{"name": "blue", "weight": 1}, {"name": "red", "weight": 3}, {"name": "green", "weight": 2}]


def rule(*constraints: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    return {"constraints": list(constraints), **rest}


def ask(field: str, operator: str, *values: Any, **rest: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "values": list(values), **rest}


FLAGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "off": {"enabled": False},
    "half": {"rollout_percentage": 50},
    "hundredths": {"rollout_percentage": 33.37},
    "among": {"rollout_percentage": 10, "rules": [rule(ask("plan", "in", "pro"))]},
    "not-among": {"rollout_percentage": 0, "rules": [rule(ask("plan", "not_in", "free", "team"))]},
    "texts": {
        "rollout_percentage": 0,
        "rules": [
            rule(ask("email", "ends_with", "@EXAMPLE.org", case_insensitive=True)),
            rule(ask("email", "starts_with", "a", "b"), ask("email", "contains", ".com", inverted=True)),
        ],
    },
    "numbers": {
        "rollout_percentage": 0,
        "rules": [rule(ask("age", "number_at_least", 18), ask("age", "number_below", 40.5))],
    },
    "number-equals": {"rollout_percentage": 0, "rules": [rule(ask("age", "number_equals", "21"))]},
    "above": {
        "rollout_percentage": 0,
        "rules": [rule(ask("age", "number_above", 30)), rule(ask("age", "number_at_most", 3))],
    },
    "versions": {"rollout_percentage": 0, "rules": [rule(ask("app", "version_at_least", "1.4.0-beta.2"))]},
    "older": {
        "rollout_percentage": 0,
        "rules": [rule(ask("app", "version_below", "2.0.0"), ask("app", "version_above", "1.0.0"))],
    },
    "same": {
        "rollout_percentage": 0,
        "rules": [rule(ask("app", "version_equals", "1.4.0")), rule(ask("app", "version_at_most", "0.9.9"))],
    },
    "dates": {"rollout_percentage": 0, "rules": [rule(ask("since", "date_after", "2026-01-01T00:00:00Z"))]},
    "before": {
        "rollout_percentage": 0,
        "rules": [rule(ask("since", "date_before", "2026-01-01T01:00:00+01:00", inverted=True))],
    },
    "network": {"rollout_percentage": 0, "rules": [rule(segments=["inside"], percentage=60)]},
    "pattern": {"rollout_percentage": 0, "rules": [rule(ask("email", "matches", r"^[a-c]+\d*@"))]},
    "sticky": {"rollout_percentage": 0, "rules": [rule(percentage=40, stickiness="plan", group="shared")]},
    "variants": {"rollout_percentage": 90, "variants": ARMS, "rules": [rule(segments=["paying"], variants=ARMS[:2])]},
    "clock": {"rollout_percentage": 0, "rules": [rule(ask("currentTime", "date_after", "2020-01-01T00:00:00Z"))]},
    "fine-dates": {
        "rollout_percentage": 0,
        "rules": [rule(ask("since", "date_after", "2026-01-01T00:00:00.1234564Z"))],
    },
    "lenient-network": {"rollout_percentage": 0, "rules": [rule(ask("address", "in_network", "10/8", "10.0.0.0/9"))]},
    "masked": {"rollout_percentage": 0, "rules": [rule(ask("address", "in_network", "10.0.0.0/255.0.0.0", "::1"))]},
    "decimal-weights": {"variants": [{"name": "a", "weight": 1.0}, {"name": "b", "weight": 2}]},
    "digits": {"rollout_percentage": 0, "rules": [rule(ask("age", "matches", r"^\d{1,2}(?:\.\d+)?$"))]},
    "words": {
        "rollout_percentage": 0,
        "rules": [rule(ask("email", "matches", r"^\w+@[a-z.]+$", case_insensitive=True))],
    },
    "any": {"rollout_percentage": 0, "rules": [rule(ask("email", "matches", r"^.@"))]},
    "dependent": {"prerequisites": [{"flag": "half"}, {"flag": "variants", "variants": ["red", "green"]}]},
    "contrary": {"prerequisites": [{"flag": "half", "enabled": False}]},
}


@pytest.fixture(scope="module")
def _written(database: psycopg.Connection) -> None:
    for name, constraints in SEGMENTS.items():
        database.execute("insert into flag_segments (name, constraints) values (%s, %s)", (name, Jsonb(constraints)))
    for name, fields in FLAGS.items():
        database.execute(
            "insert into feature_flags (name, enabled, rollout_percentage, rules, variants, prerequisites)"
            " values (%s, %s, %s, %s, %s, %s)",
            (
                name,
                fields.get("enabled", True),
                fields.get("rollout_percentage", 100),
                *(Jsonb(fields.get(field, [])) for field in ("rules", "variants", "prerequisites")),
            ),
        )


def contexts(count: int, seed: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(seed)
    fields: Mapping[str, Sequence[Any]] = {
        "targetingKey": ["", None, 17, "ü", *(f"user-{n}" for n in range(count))],
        "userId": ["other", 5, None],
        "sessionId": ["s1", "s2"],
        "plan": ["pro", "free", "team", "", None, True, ["pro"]],
        "email": ["ab1@example.org", "AB@Example.ORG", "c@x.com", "z@y.net", "", 12, "é@y.net", "\n@y.net"],
        "age": [
            3, 17.999, 18, "18.0", "40.5", 21, 21.0, "2.1e1", "1e400", "x", -0.0, True, " 30.5 ",
            "\t31", "5e-324", "1.7e308", "\u0663",
        ],
        "app": [
            "1.4.0", "1.4.0-beta.10", "1.4.0-beta.2", "1.4.0-alpha", "0.9.9+b", "2.0.0-rc.1", "1.4", "01.4.0", "10.0.0",
        ],
        "since": [
            "2026-01-01T00:00:00Z", "2026-06-01T12:30:00+02:00", "2025-12-31T23:59:59.999Z", "2026-02-30T00:00:00Z",
            "2026-01-01", "2026-01-01T00:00:00", "yesterday",
            "2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.1234567Z", "2026-01-01T20:00:00+16:00",
            "2026-01-01T24:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+15:59",
        ],
        "address": [
            "10.1.2.3", "11.1.2.3", "2001:db8::7", "::1", "10.0.0.0/9", "010.0.0.1", "x",
            "10.0.0.1\n", " 10.0.0.1 ", "10.1", "::ffff:10.0.0.1", "0::01",
        ],
        "currentTime": ["", None, "2019-12-31T00:00:00Z", "2026-01-31T00:00:00Z"],
    }  # fmt: skip
    for _ in range(count):
        yield {field: chance.choice(values) for field, values in fields.items() if chance.random() < 0.8}


@pytest.mark.usefixtures("_written")
def test_the_kit_and_sql_agree(database: psycopg.Connection) -> None:
    disagreements = compare(database, list(contexts(IDENTITIES, seed=1)))
    assert disagreements == []


PATTERNS = (
    *(
        "a",
        "^a|b$",
        "(ab)+c?",
        r"^\d+$",
        r"^\w$",
        "[a-c_.]{2}",
        r"a\.b",
        "^.$",
        "a.b",
        "x{2,}",
        "é",
        "[A-Z]",
        "k",
        "^[0-9-]+$",
    ),
    *(
        r"a\Bb",
        r"^\\b",
        "a[^x]b",
        r"^\x41B$",
        r"\bab\b",
        r"^\s$",
        "(?i)a",
        "[[:alpha:]]",
        r"\pL",
        "***=a",
        r"^\W$",
        r"a\Z",
    ),
)
TEXTS = (
    "ab",
    "a\nb",
    "AB",
    "é",
    "\\b",
    "a.b",
    "abab",
    "xx",
    "\u0663",
    "\u212a",
    "\u017f",
    "\v",
    "",
    "b\n",
    "12-3",
    "K",
    "=a",
)


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_sql_answers_a_pattern_as_re2_does_or_not_at_all(
    database: psycopg.Connection, pattern: str, fold: bool
) -> None:
    asked = ask("text", "matches", pattern, case_insensitive=fold)
    holds = constraint_predicate(msgspec.convert(asked, Constraint), lambda: 0.0)
    for text in TEXTS:
        with suppress(psycopg.errors.RaiseException):
            row = database.execute(
                "select constraint_holds(%s, %s, now())", [Jsonb(asked), Jsonb({"text": text})]
            ).fetchone()
            assert row == (holds({"text": text}),), (pattern, text)


@pytest.mark.parametrize("pattern", PATTERNS[:13])
def test_sql_answers_ordinary_patterns(database: psycopg.Connection, pattern: str) -> None:
    assert database.execute("select matches_pattern('ab', %s, false)", [pattern]).fetchone() is not None


@pytest.mark.parametrize("seed", range(3))
def test_a_text_is_the_same_number_moment_and_network_to_both(database: psycopg.Connection, seed: int) -> None:
    chance = random.Random(seed)
    texts = [
        "".join(chance.choice(pieces) for _ in range(chance.randint(1, 9)))
        for pieces in (tuple("0123456789.eE+- \t\n"), ("::", ":", "1", "0", "ffff", "10.0.0.1", "/", "64", "%", "."))
        for _ in range(2000)
    ]
    rows = database.execute(
        "select t, as_number(t), set_masklen(network(as_network(t)), masklen(as_network(t)))::text"
        " from unnest(%s::text[]) t",
        [texts],
    ).fetchall()
    assert [row for row in rows if row[1] != number(row[0])] == []
    assert [row for row in rows if (row[2] is None) != (network(row[0]) is None)] == []


def compare(database: psycopg.Connection, asked: Sequence[Mapping[str, Any]]) -> list[Any]:
    rows = database.execute("select to_jsonb(f) from feature_flags f").fetchall()
    segments = {
        s.name: s for s in (segment_from(row[0]) for row in database.execute("select to_jsonb(s) from flag_segments s"))
    }
    flags = {flag.name: compile_flag(flag, segments) for flag in (flag_from(row[0]) for row in rows)}
    said = database.execute(
        "select f, c, evaluate_flag(f, c) from unnest(%s::text[]) f, jsonb_array_elements(%s) c",
        (list(flags), Jsonb(list(asked))),
    )
    return [
        (name, json.dumps(context), in_sql, in_kit)
        for name, context, in_sql in said
        if (in_kit := _answer(evaluate(flags[name], context, flags))) != in_sql
    ]


def _answer(found: Any) -> dict[str, Any]:
    return {"enabled": found.enabled, "variant": found.variant}
