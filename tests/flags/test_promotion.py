"""From one environment to another: what differs, and taking a flag's definition across."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.command_line import Typed, opsbook
from tests.flags.helpers import create

RULES = [{"name": "insiders", "segments": ["staff"], "percentage": 50}]
STAFF = [{"field": "email", "operator": "ends_with", "values": ["@example.com"]}]


class Environments:
    """Staging and production, and the command typed in staging."""

    def __init__(self, staging: str, production: str) -> None:
        self._urls = staging, production
        self.staging = psycopg.connect(staging, autocommit=True)
        self.production = psycopg.connect(production, autocommit=True)

    def type(self, *arguments: str) -> Typed:
        return opsbook("flags", *arguments, OPSBOOK_DATABASE_URL=self._urls[0], PRODUCTION=self._urls[1])

    def promote(self, *arguments: str) -> Typed:
        return self.type("promote", *arguments, "--to", "PRODUCTION")


@pytest.fixture
def environments(new_ops_database: Callable[[], str]) -> Iterator[Environments]:
    both = Environments(new_ops_database(), new_ops_database())
    yield both
    both.staging.close()
    both.production.close()


def test_a_definition_goes_across_and_the_switches_stay(environments: Environments) -> None:
    segment(environments.staging, "staff", STAFF)
    create(environments.staging, "checkout", rules=Jsonb(RULES), owner="payments", rollout_percentage=20)
    typed = environments.promote("checkout", "--yes")
    assert typed.code == 0, typed.err
    assert row(environments.production, "checkout") == (RULES, "payments", False, 20)
    assert environments.production.execute("select constraints from flag_segments").fetchall() == [(STAFF,)]
    environments.production.execute("update feature_flags set enabled = true, rollout_percentage = 5")
    environments.staging.execute("update feature_flags set owner = 'shop', kill_switch = true, rollout_percentage = 90")
    assert environments.promote("checkout", "--yes").code == 0
    assert row(environments.production, "checkout") == (RULES, "shop", True, 5)
    assert "nothing to do" in environments.promote("checkout", "--yes").out
    assert environments.promote("checkout", "--switches", "--yes").code == 0
    assert row(environments.production, "checkout")[3] == 90


def test_a_kill_is_never_taken_back(environments: Environments) -> None:
    create(environments.staging, "burnt", rollout_percentage=50)
    create(environments.production, "burnt", kill_switch=True)
    assert environments.promote("burnt", "--switches", "--yes").code == 0
    found = environments.production.execute("select kill_switch, rollout_percentage from feature_flags").fetchall()
    assert found == [(True, 50)]
    environments.staging.execute("update feature_flags set kill_switch = true")
    environments.production.execute("update feature_flags set kill_switch = false")
    assert environments.promote("burnt", "--switches", "--yes").code == 0
    assert environments.production.execute("select kill_switch from feature_flags").fetchall() == [(True,)]


def test_what_needs_a_second_person_is_left_behind(environments: Environments) -> None:
    segment(environments.staging, "staff", STAFF)
    segment(environments.production, "staff", [])
    create(environments.staging, "guarded", rules=Jsonb(RULES), owner="payments")
    create(environments.staging, "free", owner="payments")
    create(environments.production, "guarded", rules=Jsonb(RULES), requires_approval=True)
    typed = environments.promote("guarded", "free", "--yes")
    assert typed.code == 3
    assert "left behind: flag guarded asks for a second person" in typed.err
    assert "left behind: segment staff: a flag that asks" in typed.err
    assert row(environments.production, "guarded")[1] is None
    assert row(environments.production, "free")[1] == "payments"
    assert environments.production.execute("select constraints from flag_segments").fetchall() == [([],)]
    recorded = environments.staging.execute("select target from security_audit where action like 'flag.promote%'")
    assert recorded.fetchall() == [("free",)]
    environments.staging.execute("update feature_flags set kill_switch = true, owner = null where name = 'guarded'")
    environments.staging.execute("update flag_segments set constraints = '[]'")
    killed = environments.promote("guarded", "--switches", "--yes")
    assert killed.code == 0, killed.err


def test_a_second_person_there_is_asked_where_one_says_so(environments: Environments) -> None:
    create(environments.staging, "guarded", owner="payments")
    create(environments.production, "guarded", requires_approval=True)
    assert environments.promote("guarded", "--ask").code == 2, "without a yes"
    asked = environments.promote("guarded", "--ask", "--yes", "--reason", "release 7")
    assert (asked.code, "asked for guarded" in asked.out) == (0, True), asked.err
    assert row(environments.production, "guarded")[1] is None
    ((fields, reason),) = environments.production.execute(
        "select fields, reason from flag_change_requests where status = 'pending'"
    ).fetchall()
    assert fields["owner"] == "payments"
    assert reason.endswith(": release 7")
    again = environments.promote("guarded", "--ask", "--yes", "--json")
    (step,) = json.loads(again.out)
    environments.production.execute("set opsbook.actor = 'boss'; set opsbook.actor_kind = 'cli'")
    environments.production.execute("select set_config('opsbook.change_request', %s, false)", [str(step["request"])])
    with environments.production.transaction():
        environments.production.execute("update flag_change_requests set status = 'approved'")
        environments.production.execute(
            "update feature_flags f set (owner, rules) = (select n.owner, n.rules from jsonb_populate_record(f, %s) n)",
            [Jsonb(fields)],
        )
    assert row(environments.production, "guarded")[1] == "payments"


def test_both_environments_keep_a_record(environments: Environments) -> None:
    create(environments.staging, "recorded")
    environments.promote("recorded", "--yes", "--reason", "release 7")
    here = environments.staging.execute(
        "select actor_kind, target, reason from security_audit where action = 'flag.promote_flag'"
    ).fetchall()
    assert here == [("cli", "recorded", "release 7")]
    there = environments.production.execute(
        "select actor_kind, reason from security_audit where action = 'flag.create'"
    ).fetchall()
    assert there[0][0] == "cli"
    assert there[0][1].startswith("promoted from ")
    assert there[0][1].endswith(": release 7")
    assert "opsbook:" not in there[0][1], "no password"


def test_without_a_yes_and_in_a_dry_run_nothing_changes(environments: Environments) -> None:
    create(environments.staging, "careful")
    assert environments.promote("careful").code == 2
    shown = environments.promote("careful", "--dry-run")
    assert (shown.code, "create flag careful" in shown.out) == (0, True)
    assert row(environments.production, "careful") is None
    assert environments.staging.execute("select from security_audit where action like 'flag.promote%'").fetchall() == []


def test_prerequisites_go_first_or_are_asked_for(environments: Environments) -> None:
    create(environments.staging, "parent")
    create(environments.staging, "child", prerequisites=Jsonb([{"flag": "parent"}]))
    refused = environments.promote("child", "--yes")
    assert (refused.code, "needs 'parent'" in refused.err) == (3, True)
    assert environments.promote("child", "parent", "--yes").code == 0
    assert row(environments.production, "child") is not None


def test_a_refused_change_leaves_both_as_they_were(environments: Environments) -> None:
    create(environments.staging, "one")
    create(environments.staging, "two")
    environments.production.execute("alter table feature_flags add constraint never check (name <> 'two')")
    assert environments.promote("one", "two", "--yes").code != 0
    assert row(environments.production, "one") is None
    assert environments.staging.execute("select from security_audit where action like 'flag.promote%'").fetchall() == []


def test_diff_between_environments(environments: Environments) -> None:
    for database in (environments.staging, environments.production):
        create(database, "same")
        create(database, "differs", owner="a")
    create(environments.staging, "only-here")
    environments.production.execute("update feature_flags set rollout_percentage = 5 where name = 'differs'")
    typed = environments.type("diff", "--between", "PRODUCTION", "--json")
    assert typed.code == 1
    assert list(typed.json) == ["differs", "only-here"]
    assert typed.json["differs"] == [{"field": "rollout_percentage", "before": "100", "after": "5"}]
    assert environments.type("diff", "same", "--between", "PRODUCTION").code == 0
    assert environments.type("diff").code == 2


def test_what_is_no_other_environment_is_refused(environments: Environments) -> None:
    create(environments.staging, "going")
    for to in ("OPSBOOK_DATABASE_URL", "NO_SUCH_VARIABLE", "https://example.com/"):
        assert environments.type("promote", "going", "--to", to, "--yes").code == 2, to
    assert environments.promote("no-such-flag", "--yes").code == 3


def segment(database: psycopg.Connection, name: str, constraints: object) -> None:
    database.execute("insert into flag_segments (name, constraints) values (%s, %s)", [name, Jsonb(constraints)])


def row(database: psycopg.Connection, name: str) -> Any:
    return database.execute(
        "select rules, owner, enabled, rollout_percentage from feature_flags where name = %s", [name]
    ).fetchone()
