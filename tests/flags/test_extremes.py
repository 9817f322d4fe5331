"""Rules, segments and patterns as large and as nasty as they come: answered alike and soon, or refused."""

from __future__ import annotations

import time
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from opsbook.flags.evaluation import compile_flag, evaluate
from opsbook.flags.model import flag_from, segment_from
from opsbook.flags.targeting.compiled import constraint_predicate
from opsbook.flags.targeting.model import Constraint
from tests.flags.helpers import create

FLAGS = "/api/admin/feature-flags"
SOON_SECONDS = 5.0
LONG_TEXT = "a" * 20_000 + "!"


def test_of_a_thousand_rules_the_last_admits(api: httpx.Client, database: psycopg.Connection) -> None:
    rules = [{"constraints": [asks("plan", "in", f"plan-{n}")]} for n in range(1_000)]
    body = {"name": "thousand", "enabled": True, "rollout_percentage": 0, "rules": rules}
    assert api.post(FLAGS, json=body).status_code == 201
    assert said_by_both(database, "thousand", {"plan": "plan-999"}) == (True, True)
    assert said_by_both(database, "thousand", {"plan": "plan-1000"}) == (False, False)


def test_ten_thousand_rules_are_refused(api: httpx.Client) -> None:
    answer = api.post(FLAGS, json={"name": "ten-thousand", "rules": [{}] * 10_000})
    assert (answer.status_code, "1000" in answer.json()["detail"]) == (422, True)


def test_a_segment_of_a_megabyte_is_obeyed_and_a_larger_one_refused(database: psycopg.Connection) -> None:
    people = [f"user-{number:09d}" for number in range(58_000)]
    database.execute(
        "insert into flag_segments (name, constraints) values ('megabyte', %s)",
        [Jsonb([asks("targetingKey", "in", *people)])],
    )
    create(database, "for-many", rollout_percentage=0, rules=Jsonb([{"segments": ["megabyte"]}]))
    assert said_by_both(database, "for-many", {"targetingKey": people[-1]}) == (True, True)
    assert said_by_both(database, "for-many", {"targetingKey": "user-x"}) == (False, False)
    with pytest.raises(psycopg.errors.CheckViolation, match="1 MiB"):
        database.execute(
            "update flag_segments set constraints = %s where name = 'megabyte'",
            [Jsonb([asks("targetingKey", "in", *people, *people)])],
        )


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|a)*b", "(a|aa)+$", "^(.*)*x", "([a-z]+)*=", "(a*)*b", "(.*a){10}$", "((a{1,100}){1,100}){1,100}"],
)
def test_no_pattern_takes_long(database: psycopg.Connection, pattern: str) -> None:
    asked, context = asks("text", "matches", pattern), {"text": LONG_TEXT}
    began = time.monotonic()
    assert not holds_in_kit(asked, context)
    assert time.monotonic() - began < SOON_SECONDS
    with database.transaction():
        database.execute(f"set local statement_timeout = '{SOON_SECONDS:g}s'".encode())
        try:
            assert not holds_in_sql(database, asked, context)
        except psycopg.errors.RaiseException as refused:
            assert "SQL cannot evaluate the pattern" in str(refused)  # noqa: PT017


@pytest.mark.parametrize("pattern", ["((a{1,100}){1,100}){1,100}", r"(a)\1", "(?=a)", "a" * 501])
def test_a_pattern_that_has_no_bound_is_no_rule(api: httpx.Client, pattern: str) -> None:
    body = {"name": "unbounded", "rules": [{"constraints": [asks("text", "matches", pattern)]}]}
    assert api.post(FLAGS, json=body).status_code == 422


GARBAGE = {
    "version_at_least": ["", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "-1.0.0",
                         "1.2.3 ", "1.2.\uff13", "9" * 300 + ".0.0", "1.2.3-" + "a" * 300],
    "date_after": ["", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "now",
                   "infinity", "1767225600", "2026-01-01T00:00:00+99:00", "2026-01-01T00:00:00 Europe/Paris"],
    "number_at_least": ["", "x", "1e999", "NaN", "Infinity", "0x10", "1_000", "1,5", "\u0661", "9" * 500],
}  # fmt: skip
SENSE = {"version_at_least": "0.0.0-0", "date_after": "0001-01-02T00:00:00Z", "number_at_least": "-1e300"}


@pytest.mark.parametrize("operator", GARBAGE)
def test_garbage_is_neither_more_nor_less_than_anything(
    api: httpx.Client, database: psycopg.Connection, operator: str
) -> None:
    asked = asks("given", operator, SENSE[operator])
    for garbage in GARBAGE[operator]:
        context = {"given": garbage}
        assert (holds_in_kit(asked, context), holds_in_sql(database, asked, context)) == (False, False), garbage
        body = {"name": "garbage", "rules": [{"constraints": [asks("given", operator, garbage)]}]}
        assert api.post(FLAGS, json=body).status_code == 422, garbage


def asks(field: str, operator: str, *values: object) -> dict[str, Any]:
    return {"field": field, "operator": operator, "values": list(values)}


def said_by_both(database: psycopg.Connection, name: str, context: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the flag is on, as the kit and as SQL have it."""
    (row,) = database.execute("select to_jsonb(f) from feature_flags f where name = %s", [name]).fetchone() or (None,)
    segments = [segment_from(each) for (each,) in database.execute("select to_jsonb(s) from flag_segments s")]
    compiled = compile_flag(flag_from(row), {segment.name: segment for segment in segments})
    (in_sql,) = database.execute("select flag_enabled(%s, %s)", [name, Jsonb(context)]).fetchone() or (None,)
    return evaluate(compiled, context, {}).enabled, in_sql is True


def holds_in_kit(asked: dict[str, Any], context: dict[str, Any]) -> bool:
    return constraint_predicate(Constraint(**asked), lambda: 0.0)(context)


def holds_in_sql(database: psycopg.Connection, asked: dict[str, Any], context: dict[str, Any]) -> bool:
    row = database.execute("select constraint_holds(%s, %s, now())", [Jsonb(asked), Jsonb(context)]).fetchone()
    return row == (True,)
