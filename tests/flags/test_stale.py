"""`opsbook flags stale`: what has had its day, and where the code still names it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.command_line import Typed, opsbook
from tests.flags.helpers import create


@pytest.fixture
def stale(new_ops_database: Callable[[], str]) -> Iterator[Old]:
    """A database where evaluations have been counted for a year; types the command and makes flags of any age."""
    old = Old(new_ops_database())
    yield old
    old.database.close()


class Old:
    def __init__(self, url: str) -> None:
        self.url = url
        self.database = psycopg.connect(url, autocommit=True)
        self.database.execute("update schema_files set applied_at = now() - interval '1 year'")

    def make(self, name: str, days: int, **fields: object) -> None:
        """A flag that has been so for that many days."""
        create(self.database, name, **fields)
        self._aged(name, days)

    def _aged(self, name: str, days: int) -> None:
        with self.database.transaction():
            self.database.execute("alter table feature_flag_revisions disable trigger append_only")
            self.database.execute(
                "update feature_flag_revisions set changed_at = now() - make_interval(days => %s) where name = %s",
                [days, name],
            )
            self.database.execute("alter table feature_flag_revisions enable trigger append_only")

    def asked(self, name: str, days: int) -> None:
        self.database.execute(
            "insert into flag_exposures select date_trunc('hour', at), %s, 'on', 1, at"
            " from (select now() - make_interval(days => %s) as at) t",
            [name, days],
        )

    def type(self, *arguments: str) -> Typed:
        return opsbook("flags", "stale", *arguments, OPSBOOK_DATABASE_URL=self.url)

    def reasons(self, *arguments: str) -> dict[str, list[str]]:
        return {each["name"]: each["reasons"] for each in self.type("--json", *arguments).json}


def test_nothing_is_stale_where_nothing_is_old(stale: Old) -> None:
    stale.make("fresh", 0)
    typed = stale.type()
    assert (typed.code, typed.out.strip()) == (0, "No flag is stale.")


def test_the_same_for_everybody_for_long(stale: Old) -> None:
    for name, days, fields in (
        ("on-long", 31, {}),
        ("on-lately", 29, {}),
        ("off-long", 31, {"enabled": False}),
        ("killed-long", 31, {"kill_switch": True}),
        ("partial-long", 31, {"rollout_percentage": 50}),
        ("ruled-long", 31, {"rollout_percentage": 0, "rules": Jsonb([{"percentage": 5}])}),
        ("archived-long", 31, {"archived_at": "2020-01-01T00:00Z"}),
    ):
        stale.make(name, days, **fields)
        stale.asked(name, 0)
    found = stale.reasons()
    assert {name: reasons[0].split(" since")[0] for name, reasons in found.items()} == {
        "on-long": "it has been on for everybody",
        "off-long": "it has been off",
        "killed-long": "it has been killed",
    }
    assert "on-lately" in stale.reasons("--days", "20")
    assert stale.type("--json").code == 1


def test_a_new_owner_is_no_change_of_what_it_decides(stale: Old) -> None:
    stale.make("handed-over", 60)
    stale.asked("handed-over", 0)
    stale.database.execute("update feature_flags set owner = 'payments' where name = 'handed-over'")
    assert list(stale.reasons()) == ["handed-over"]
    stale.database.execute("update feature_flags set rollout_percentage = 99 where name = 'handed-over'")
    stale.database.execute("update feature_flags set rollout_percentage = 100 where name = 'handed-over'")
    assert stale.reasons() == {}


def test_nobody_asks(stale: Old) -> None:
    for name in ("asked-lately", "asked-long-ago", "never-asked"):
        stale.make(name, 60, rollout_percentage=50)
    stale.asked("asked-lately", 1)
    stale.asked("asked-long-ago", 31)
    assert stale.reasons() == {
        "asked-long-ago": ["nobody asks for it"],
        "never-asked": ["nobody has ever asked for it"],
    }
    stale.database.execute("update schema_files set applied_at = now()")
    assert stale.reasons() == {}, "evaluations were not counted for long enough to know"


def test_expired(stale: Old) -> None:
    stale.make("over", 0, expires_at="2021-02-03T00:00Z", rollout_percentage=50)
    assert stale.reasons() == {"over": ["it expired on 2021-02-03"]}


def test_the_code_that_still_names_it(stale: Old, tmp_path: Path) -> None:
    stale.make("check.out", 60)
    stale.make("forgotten", 60)
    write(tmp_path / "a.py", 'one()\nif flags.enabled("check.out"):\n    two()\n')
    write(tmp_path / "b" / "c.ts", "check.out-new, precheck.out, checkXout, check.out")
    write(tmp_path / "ignored" / "d.py", "check.out")
    write(tmp_path / "binary", "check.out\0")
    write(tmp_path / "large", "check.out" + " " * 1024 * 1024)
    (tmp_path / "link").symlink_to(tmp_path / "a.py")
    write(tmp_path / ".gitignore", "ignored/\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    found = {each["name"]: each["places"] for each in stale.type("--json", "--code", str(tmp_path)).json}
    assert found == {"check.out": ["a.py:2", "b/c.ts:1"], "forgotten": []}
    assert "forgotten: not named in the code" in stale.type("--code", str(tmp_path)).out


def test_outside_a_repository_installed_packages_are_passed_over(stale: Old, tmp_path: Path) -> None:
    stale.make("named", 60)
    write(tmp_path / "a.py", "named")
    write(tmp_path / "node_modules" / "b.js", "named")
    write(tmp_path / ".hidden" / "c.py", "named")
    found = stale.type("--json", "--code", str(tmp_path)).json
    assert found[0]["places"] == ["a.py:1"]


def test_code_that_is_not_there_is_refused(stale: Old, tmp_path: Path) -> None:
    assert stale.type("--code", str(tmp_path / "none")).code == 2


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
