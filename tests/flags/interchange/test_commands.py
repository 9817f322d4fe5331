"""`opsbook flags import` and `export`, typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.command_line import Typed, opsbook
from tests.flags.helpers import until

WAITING = "select true from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"

UNLEASH = {
    "features": [
        {"name": "child", "enabled": True, "strategies": [], "dependencies": [{"feature": "parent"}]},
        {
            "name": "parent",
            "enabled": True,
            "strategies": [{"name": "flexibleRollout", "parameters": {"rollout": "30"}, "segments": [1]}],
        },
        {"name": "odd", "enabled": True, "strategies": [{"name": "byMoon"}]},
        {"name": "no name/at all", "enabled": True},
        {"name": "orphan", "enabled": True, "dependencies": [{"feature": "gone"}]},
    ],
    "segments": [
        {"id": 1, "name": "paying", "constraints": [{"contextName": "plan", "operator": "IN", "values": ["pro"]}]}
    ],
}


@dataclass(frozen=True)
class Shell:
    """Types `opsbook flags` commands on an ops database of its own."""

    url: str

    def __call__(self, *arguments: str) -> Typed:
        return opsbook("flags", *arguments, OPSBOOK_DATABASE_URL=self.url)


@pytest.fixture
def flags(new_ops_database: Callable[[], str]) -> Shell:
    return Shell(new_ops_database())


@pytest.fixture
def unleash(tmp_path: Path) -> str:
    file = tmp_path / "features.json"
    file.write_text(json.dumps(UNLEASH))
    return str(file)


def test_an_import_creates_in_the_order_of_needs_and_lists_what_is_left(flags: Shell, unleash: str) -> None:
    done = flags("import", unleash, "--format", "unleash", "--yes", "--json").json
    assert set(done["created"]) == {"child", "parent", "odd", "orphan"}
    assert done["segments"] == ["paying"]
    assert {each["flag"] for each in done["left_behind"]} == {"odd", "no name/at all", "orphan"}
    assert flags("show", "orphan", "--json").json["enabled"] is False
    assert flags("evaluate", "child", "u1", "--field", "plan=free").code == 1
    assert flags("history", "parent", "--json").json[0]["reason"] == "imported from features.json"


def test_a_dry_run_says_so_and_does_nothing(flags: Shell, unleash: str) -> None:
    said = flags("import", unleash, "--format", "unleash", "--dry-run")
    assert said.code == 0
    assert "would create parent" in said.out
    assert "left behind: odd: strategy 'byMoon'" in said.out
    assert flags("list", "--json").json == []


def test_without_a_yes_nothing_is_done(flags: Shell, unleash: str) -> None:
    assert flags("import", unleash, "--format", "unleash").code == 2
    assert flags("list", "--json").json == []


def test_an_import_again_changes_only_what_differs_and_revives_nothing(flags: Shell, unleash: str) -> None:
    flags("import", unleash, "--format", "unleash", "--yes")
    flags("kill", "parent", "--yes")
    flags("rollout", "child", "10", "--yes")
    done = flags("import", unleash, "--format", "unleash", "--yes", "--json").json
    assert (done["created"], done["changed"]) == ([], {"child": ["rollout_percentage"]})
    assert flags("show", "parent", "--json").json["kill_switch"] is True


def test_what_needs_a_second_person_is_left_behind_and_holds_up_nothing(flags: Shell, unleash: str) -> None:
    flags("create", "parent", "--rollout", "7")
    assert flags("set", "parent", "--approval", "--yes").code == 0
    done = flags("import", unleash, "--format", "unleash", "--yes", "--json").json
    assert set(done["created"]) == {"child", "odd", "orphan"}
    assert (done["changed"], done["unchanged"]) == ({}, [])
    (left,) = [each["what"] for each in done["left_behind"] if each["flag"] == "parent"]
    assert "second person" in left
    assert "left behind: parent: " in flags("import", unleash, "--format", "unleash", "--dry-run").out
    assert flags("show", "parent", "--json").json["rollout_percentage"] == 7


def test_a_second_person_is_asked_for_what_is_left_behind(flags: Shell, unleash: str) -> None:
    flags("create", "parent", "--rollout", "7")
    assert flags("set", "parent", "--approval", "--yes").code == 0
    asked = flags("import", unleash, "--format", "unleash", "--ask", "--yes", "--json").json["asked"]
    (request,) = flags("requests", "--json").json
    assert asked == {"parent": request["id"]}
    assert request["fields"]["rules"][0]["segments"] == ["paying"]
    assert request["reason"] == "imported from features.json"
    again = flags("import", unleash, "--format", "unleash", "--ask", "--yes")
    assert f"`opsbook flags approve {request['id']}`" in again.out, "what waits already is not asked for twice"


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ("update feature_flags set rollout_percentage = 1 where name = 'parent'", "flag 'parent'"),
        ("update feature_flags set kill_switch = true where name = 'odd'", "flag 'odd'"),
        ("delete from feature_flags where name = 'orphan'", "flag 'orphan'"),
        ("insert into feature_flags (name) values ('newcomer')", "flag 'newcomer'"),
        ("update flag_segments set constraints = '[]'", "segment 'paying'"),
    ],
)
def test_what_is_edited_between_the_plan_and_the_yes_is_not_overwritten(
    flags: Shell, unleash: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: str, named: str
) -> None:
    flags("import", unleash, "--format", "unleash", "--yes")
    file = tmp_path / "later.json"
    file.write_text(json.dumps({**UNLEASH, "features": [*UNLEASH["features"], {"name": "newcomer", "enabled": True}]}))

    def thinking_it_over(*_: object, **__: object) -> None:
        with psycopg.connect(flags.url, autocommit=True) as other:
            other.execute(edit.encode())

    monkeypatch.setattr("opsbook.flags.interchange.commands.confirm", thinking_it_over)
    refused = flags("import", str(file), "--format", "unleash")
    assert (refused.code, f"somebody changed {named} since the plan" in " ".join(refused.err.split())) == (3, True)
    enabled = [each["name"] for each in flags("list", "--json").json if each["enabled"]]
    assert "newcomer" not in enabled, "nothing of the file is done"


def test_a_segment_of_a_guarded_flag_is_left_behind(flags: Shell, unleash: str, tmp_path: Path) -> None:
    flags("import", unleash, "--format", "unleash", "--yes")
    assert flags("set", "parent", "--approval", "--yes").code == 0
    opened = tmp_path / "opened.json"
    opened.write_text(json.dumps({**UNLEASH, "segments": [{"id": 1, "name": "paying", "constraints": []}]}))
    said = flags("import", str(opened), "--format", "unleash", "--yes", "--json")
    assert said.json["segments"] == []
    assert "paying" in [each["flag"] for each in said.json["left_behind"]]


def test_an_import_waits_for_a_change_under_way_and_goes_by_what_it_leaves(flags: Shell, unleash: str) -> None:
    flags("import", unleash, "--format", "unleash", "--yes")
    with psycopg.connect(flags.url) as other, ThreadPoolExecutor() as threads:
        other.execute("update feature_flags set rollout_percentage = 3 where name = 'child'")
        importing = threads.submit(flags, "import", unleash, "--format", "unleash", "--yes", "--json")
        with psycopg.connect(flags.url, autocommit=True) as watch:
            until(lambda: importing.done() or watch.execute(WAITING).fetchone(), within=30)
        other.commit()
        assert importing.result().json["changed"] == {"child": ["rollout_percentage"]}


def test_our_own_export_comes_back_whole(
    flags: Shell, unleash: str, tmp_path: Path, new_ops_database: Callable[[], str]
) -> None:
    flags("import", unleash, "--format", "unleash", "--yes")
    flags("set", "parent", "--owner", "payments", "--tag", "core", "--description", "what for", "--yes")
    file = tmp_path / "ours.json"
    assert flags("export", "--output", str(file)).code == 0
    other = new_ops_database()
    again = opsbook("flags", "import", str(file), "--yes", "--json", OPSBOOK_DATABASE_URL=other)
    assert again.code == 0, again.err
    assert opsbook("flags", "export", OPSBOOK_DATABASE_URL=other).out == file.read_text()
    third = opsbook("flags", "import", str(file), "--yes", "--json", OPSBOOK_DATABASE_URL=other)
    assert (third.json["created"], third.json["changed"], third.json["segments"]) == ([], {}, [])


@pytest.mark.parametrize("target", ["unleash", "flagd"])
def test_an_export_for_others_lists_what_they_have_no_words_for(flags: Shell, target: str) -> None:
    flags("create", "part", "--enabled", "--rollout", "12.5")
    said = flags("export", "--format", target)
    assert "part" in json.dumps(json.loads(said.out))
    assert "left behind: part:" in said.err


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "opsbook-flags", "version": 2, "flags": []}'])
def test_a_file_that_is_none_changes_nothing(flags: Shell, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    assert flags("import", str(file), "--yes").code == 2
    assert flags("import", str(tmp_path / "missing.json"), "--yes").code == 2


def test_flags_that_need_each_other_are_refused_whole(flags: Shell, tmp_path: Path) -> None:
    circle = [
        {"name": "a", "prerequisites": [{"flag": "b"}]},
        {"name": "b", "prerequisites": [{"flag": "a"}]},
        {"name": "innocent"},
    ]
    file = tmp_path / "circle.json"
    file.write_text(json.dumps({"format": "opsbook-flags", "version": 1, "flags": circle}))
    said = flags("import", str(file), "--yes")
    assert said.code == 2
    assert "need each other" in said.err
    assert flags("list", "--json").json == []


def test_a_name_that_could_pass_for_another_is_left_out_and_holds_up_nothing(flags: Shell, tmp_path: Path) -> None:
    unseen, mixed, apart = "a\u200bb", "\u0440\u0430ypal", "e\u0301te\u0301"
    named = [{"name": name} for name in (unseen, mixed, "fine")]
    child = {"name": "child", "enabled": True, "prerequisites": [{"flag": mixed}]}
    segment = {"name": apart, "constraints": [{"field": "plan", "operator": "in", "values": ["pro"]}]}
    file = tmp_path / "names.json"
    content = {"format": "opsbook-flags", "version": 1, "flags": [*named, child], "segments": [segment]}
    file.write_text(json.dumps(content))
    done = flags("import", str(file), "--yes", "--json").json
    assert set(done["created"]) == {"fine", "child"}
    left = {each["flag"]: each["what"] for each in done["left_behind"]}
    assert left.keys() == {unseen, mixed, apart, "child"}
    assert "Cyrillic" in left[mixed]
    assert "is off" in left["child"]


def test_a_pattern_that_cannot_be_is_left_out_with_its_rule(flags: Shell, tmp_path: Path) -> None:
    rules = [{"name": "bomb", "constraints": [{"field": "email", "operator": "matches", "values": ["(a+"]}]}]
    file = tmp_path / "bomb.json"
    flag = {"name": "f", "enabled": True, "rollout_percentage": 0, "rules": rules}
    file.write_text(json.dumps({"format": "opsbook-flags", "version": 1, "flags": [flag]}))
    done = flags("import", str(file), "--yes", "--json").json
    assert "'bomb'" in done["left_behind"][0]["what"]
    with psycopg.connect(flags.url) as connection:
        assert connection.execute("select rules from feature_flags where name = 'f'").fetchall() == [([],)]
