"""Rules, segments, variants and prerequisites as they are typed into a shell."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.command_line import Typed, opsbook
from tests.flags.helpers import create

Call = Callable[..., Typed]


@pytest.fixture
def call(ops_url: str) -> Call:
    return lambda *arguments: opsbook("flags", *arguments, OPSBOOK_DATABASE_URL=ops_url)


def test_a_rule_is_added_explained_and_removed(call: Call, database: psycopg.Connection) -> None:
    create(database, "ruled", enabled=True, rollout_percentage=0)
    conditions = ("--if", "plan in pro,team", "--if", "not country in DE")
    added = call("rule", "add", "ruled", *conditions, "--name", "paying", "--yes", "--json")
    assert added.code == 0, added.err
    assert added.json["rules"][0]["constraints"] == [
        {"field": "plan", "operator": "in", "values": ["pro", "team"]},
        {"field": "country", "operator": "in", "values": ["DE"], "inverted": True},
    ]
    assert "plan in pro, team and not country in DE" in call("rule", "list", "ruled").out
    assert call("evaluate", "ruled", "u1", "--field", "plan=pro").code == 0
    assert call("evaluate", "ruled", "u1", "--field", "plan=pro", "--field", "country=DE").code == 1
    assert call("rule", "remove", "ruled", "paying", "--yes").code == 0
    assert call("evaluate", "ruled", "u1", "--field", "plan=pro").code == 1


def test_a_rule_is_removed_by_its_place(call: Call, database: psycopg.Connection) -> None:
    create(database, "placed")
    for plan in ("free", "pro", "team"):
        call("rule", "add", "placed", "--if", f"plan in {plan}", "--yes")
    assert call("rule", "remove", "placed", "2", "--yes").code == 0
    rules = call("rule", "list", "placed", "--json").json
    assert [rule["constraints"][0]["values"] for rule in rules] == [["free"], ["team"]]


def test_a_rule_has_a_group_and_variants_of_its_own(call: Call, database: psycopg.Connection) -> None:
    create(database, "own", value_type="string", rollout_percentage=0)
    options = ("--if", "plan in pro", "--group", "shared", "--variant", "blue:3=#00f", "--variant", "a:b=x=y")
    added = call("rule", "add", "own", *options, "--yes", "--json")
    assert added.code == 0, added.err
    (rule,) = added.json["rules"]
    assert rule["group"] == "shared"
    assert rule["variants"] == [
        {"name": "blue", "weight": 3, "value": "#00f"},
        {"name": "a:b", "value": "x=y"},
    ]
    assert "group shared, as blue 3, a:b 1" in call("rule", "list", "own").out


def test_a_rule_is_moved_to_a_place(call: Call, database: psycopg.Connection) -> None:
    create(database, "moved")
    for name in ("one", "two", "three"):
        call("rule", "add", "moved", "--name", name, "--percentage", "5", "--yes")
    assert call("rule", "move", "moved", "three", "1", "--yes").code == 0
    assert call("rule", "move", "moved", "2", "3", "--yes").code == 0
    assert [rule["name"] for rule in call("rule", "list", "moved", "--json").json] == ["three", "two", "one"]
    told = call("rule", "move", "moved", "one", "1", "--dry-run")
    assert (told.code, "order of rules" in told.out) == (0, True)
    assert call("rule", "move", "moved", "one", "4", "--yes").code == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--percentage", "5", "--variant", "=x"), "is no variant"),
        (("--percentage", "5", "--variant", "blue=#00f"), "is no boolean"),
        (("--percentage", "5", "--variant", "blue:0"), "sum to 0"),
        ((), "needs a condition, a segment or a share"),
        (("--if", "plan"), "is no condition"),
        (("--if", "plan sounds_like pro"), "no operator 'sounds_like'"),
        (("--if", "age number_above old"), "a number"),
        (("--if", "email matches ("), "no RE2 pattern"),
        (("--if", "email matches (?=a)"), "no RE2 pattern"),
        (("--if", 'name in "Doe'), "are no values"),
        (("--if", "since date_after 2026-01-31"), "zone"),
        (("--if", "plan in pro", "--percentage", "0.005"), "0.01"),
        (("--segment", "nowhere"), "nowhere"),
    ],
)
def test_what_is_no_rule_is_refused(
    call: Call, database: psycopg.Connection, arguments: tuple[str, ...], says: str
) -> None:
    database.execute("insert into feature_flags (name) values ('unruled') on conflict do nothing")
    refused = call("rule", "add", "unruled", *arguments, "--yes")
    assert refused.code in (2, 3)
    assert says in refused.err
    assert "Traceback" not in refused.err
    assert call("rule", "list", "unruled", "--json").json == []


def test_a_dry_run_and_nobody_at_the_keyboard_change_nothing(call: Call, database: psycopg.Connection) -> None:
    create(database, "looked-at")
    told = call("rule", "add", "looked-at", "--if", "plan in pro", "--dry-run")
    assert (told.code, told.out.strip()) == (0, "would change looked-at: rule 1 – → plan in pro")
    assert call("rule", "add", "looked-at", "--if", "plan in pro").code == 2
    assert call("show", "looked-at", "--json").json["rules"] == []


def test_a_segment_is_shared_and_kept_while_used(call: Call, database: psycopg.Connection) -> None:
    create(database, "segmented", enabled=True, rollout_percentage=0)
    assert call("segment", "set", "staff", "--if", "email ends_with @example.org", "--yes").code == 0
    assert call("rule", "add", "segmented", "--segment", "staff", "--yes").code == 0
    assert call("evaluate", "segmented", "--field", "email=a@example.org").code == 0
    call("segment", "set", "staff", "--if", "email ends_with @example.com", "--any-case", "--yes")
    assert call("evaluate", "segmented", "--field", "email=a@example.org").code == 1
    assert call("evaluate", "segmented", "--field", "email=A@EXAMPLE.COM").code == 0
    assert call("segment", "show", "staff", "--json").json["used_by"] == ["segmented"]
    refused = call("segment", "delete", "staff", "--yes")
    assert (refused.code, "segmented" in refused.err) == (2, True)
    call("rule", "remove", "segmented", "1", "--yes")
    assert call("segment", "delete", "staff", "--yes").code == 0
    assert "staff" not in call("segment", "list").out


def test_variants_have_values_of_the_flags_type(call: Call, database: psycopg.Connection) -> None:
    create(database, "coloured", enabled=True)
    assert call("set", "coloured", "--type", "object", "--yes").code == 0
    for name, value in (("blue", '{"hex": "#00f"}'), ("green", '{"hex": "#0f0"}')):
        assert call("variant", "add", "coloured", name, "--weight", "1", "--value", value, "--yes").code == 0
    assert call("variant", "add", "coloured", "blue", "--value", '{"hex": "#00e"}', "--weight", "3", "--yes").code == 0
    assert "75 %" in call("variant", "list", "coloured").out
    assert call("variant", "add", "coloured", "red", "--value", "7", "--yes").code == 2
    assert call("variant", "add", "coloured", "red", "--yes").code == 2
    chosen = ("--value", "{}", "--weight", "0", "--always", "plan in pro")
    assert call("variant", "add", "coloured", "red", *chosen, "--yes").code == 0
    found = call("evaluate", "coloured", "u1", "--field", "plan=pro", "--json").json["result"]
    assert (found["variant"], found["value"]) == ("red", {})
    assert call("variant", "remove", "coloured", "red", "--yes").code == 0
    assert [each["name"] for each in call("variant", "list", "coloured", "--json").json] == ["blue", "green"]


def test_a_prerequisite_is_needed_until_it_is_removed(call: Call, database: psycopg.Connection) -> None:
    create(database, "parent", enabled=False)
    create(database, "child", enabled=True)
    assert call("prerequisite", "add", "child", "parent", "--yes").code == 0
    assert call("evaluate", "child", "u1").code == 1
    assert call("prerequisite", "add", "child", "parent", "--off", "--yes").code == 0
    assert call("evaluate", "child", "u1").code == 0
    back = call("prerequisite", "add", "parent", "child", "--yes")
    assert (back.code, "lead back to it" in back.err) == (2, True)
    assert call("prerequisite", "remove", "child", "parent", "--yes").code == 0
    assert call("prerequisite", "list", "child", "--json").json == []


def test_expiry_reminds_or_turns_off(call: Call, database: psycopg.Connection) -> None:
    create(database, "expiring", enabled=True)
    assert call("set", "expiring", "--expires", "2020-01-31T12:00:00Z", "--yes").code == 0
    assert call("evaluate", "expiring", "u1").code == 0
    assert call("set", "expiring", "--off-when-expired", "--yes").code == 0
    assert call("evaluate", "expiring", "u1").code == 1
    assert call("set", "expiring", "--expires", "never", "--yes").code == 0
    assert call("evaluate", "expiring", "u1").code == 0
    assert call("set", "expiring", "--expires", "2031-01-31", "--yes").code == 2


def test_a_flag_changed_in_between_is_not_overwritten(
    call: Call, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(database, "raced")
    monkeypatch.setattr(
        "opsbook.core.console.confirm",
        lambda *_, **__: database.execute("update feature_flags set owner = 'faster' where name = 'raced'"),
    )
    refused = call("rule", "add", "raced", "--if", "plan in pro", "--yes")
    assert "somebody changed it in between" in refused.err
    assert call("show", "raced", "--json").json["rules"] == []


def test_a_diff_tells_rule_by_rule(call: Call, database: psycopg.Connection) -> None:
    create(database, "compared", enabled=False)
    first = call("show", "compared", "--json").json["revision"]
    call("rule", "add", "compared", "--if", "plan in pro", "--name", "paying", "--yes")
    call("rollout", "compared", "25", "--yes")
    last = call("diff", "compared", "--json").json
    assert last == [{"field": "rollout_percentage", "before": "100", "after": "25"}]
    since = call("diff", "compared", "--from", str(first), "--json").json
    assert since == [
        {"field": "rule paying", "before": None, "after": "plan in pro"},
        {"field": "rollout_percentage", "before": "100", "after": "25"},
    ]
    assert call("diff", "compared", "--to", "1", "--from", "1").code == 3


def test_a_segment_changed_in_between_is_not_overwritten(call: Call) -> None:
    pro = ("--if", "plan in pro", "--yes")
    seen = str(call("segment", "set", "raced", *pro, "--revision", "0", "--json").json["revision"])
    again = call("segment", "set", "raced", *pro, "--revision", "0")
    assert (again.code, "not new: somebody changed it" in again.err) == (3, True)
    call("segment", "set", "raced", "--if", "plan in team", "--yes")
    late = call("segment", "set", "raced", *pro, "--revision", seen)
    assert (late.code, f"not at revision {seen}" in " ".join(late.err.split())) == (3, True)
    assert call("segment", "delete", "raced", "--yes", "--revision", seen).code == 3
    assert call("segment", "show", "raced", "--json").json["constraints"][0]["values"] == ["team"]
    assert call("segment", "delete", "raced", "--yes").code == 0
