"""Flags that need flags: each is decided once for a context, however many ways lead to it."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from opsbook.flags.evaluation import compile_flag, evaluate
from opsbook.flags.explanation import explain
from opsbook.flags.model import flag_from
from tests.flags.helpers import create

LAYERS = 20
"""Of two flags, each of which needs both below: a million ways lead from the top to the bottom."""


def layers(prefix: str) -> list[dict[str, object]]:
    return [
        {
            "name": f"{prefix}-{layer}-{side}",
            "enabled": True,
            "prerequisites": [{"flag": f"{prefix}-{layer - 1}-{below}"} for below in "ab" if layer],
        }
        for layer in range(LAYERS)
        for side in "ab"
    ]


def test_the_kit_asks_each_flag_once() -> None:
    asked = 0

    def clock() -> float:
        nonlocal asked
        asked += 1
        assert asked <= 10 * LAYERS, "flags are asked again and again"
        return 0.0

    rows = [{**row, "expires_at": "2030-01-01T00:00:00Z", "off_when_expired": True} for row in layers("kit")]
    flags = {str(row["name"]): compile_flag(flag_from(row), clock=clock) for row in rows}
    top = flags[f"kit-{LAYERS - 1}-a"]
    assert evaluate(top, {}, flags).enabled
    assert asked == 2 * LAYERS - 1
    assert explain(top, {}, flags).result.enabled


def test_sql_asks_each_flag_once(database: psycopg.Connection) -> None:
    for row in layers("sql"):
        create(database, str(row["name"]), prerequisites=Jsonb(row["prerequisites"]))
    with database.transaction():
        database.execute("set local statement_timeout = '5s'")
        assert database.execute("select flag_enabled(%s)", [f"sql-{LAYERS - 1}-a"]).fetchone() == (True,)
        database.execute("update feature_flags set kill_switch = true where name = 'sql-0-b'")
        assert database.execute("select flag_enabled(%s)", [f"sql-{LAYERS - 1}-a"]).fetchone() == (False,)


@pytest.mark.parametrize("enabled", [True, False])
def test_what_does_not_exist_holds_for_nobody(database: psycopg.Connection, enabled: bool) -> None:
    create(database, f"orphan-{enabled}")
    with database.transaction(force_rollback=True):
        database.execute("alter table feature_flags disable trigger user")
        needed = Jsonb([{"flag": "no-such-flag", "enabled": enabled}])
        database.execute("update feature_flags set prerequisites = %s where name = %s", [needed, f"orphan-{enabled}"])
        assert database.execute("select flag_enabled(%s)", [f"orphan-{enabled}"]).fetchone() == (False,)
        assert database.execute("select evaluate_flag('no-such-flag', '{}')").fetchone() == (
            {"enabled": False, "variant": "off"},
        )


def test_the_same_flag_is_not_needed_twice(database: psycopg.Connection) -> None:
    create(database, "needed")
    with pytest.raises(psycopg.errors.CheckViolation, match="twice"):
        create(database, "needing", prerequisites=Jsonb([{"flag": "needed"}, {"flag": "needed", "enabled": False}]))


def test_a_flag_rests_on_two_hundred_others_at_most(database: psycopg.Connection) -> None:
    for number in range(201):
        create(database, f"ground-{number}")
    for half in range(5):
        needed = [{"flag": f"ground-{number}"} for number in range(half * 40, half * 40 + 40)]
        create(database, f"hall-{half}", prerequisites=Jsonb(needed))
    create(database, "roof", prerequisites=Jsonb([{"flag": f"hall-{half}"} for half in range(4)]))
    with pytest.raises(psycopg.errors.CheckViolation, match="200"):
        create(database, "tower", prerequisites=Jsonb([{"flag": f"hall-{half}"} for half in range(5)]))
