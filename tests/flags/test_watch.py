"""`opsbook flags watch`: each change is a line as soon as it is committed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.flags.helpers import create, until


def test_each_change_is_a_line_at_once(ops_url: str, database: psycopg.Connection, tmp_path: Path) -> None:
    create(database, "watched")
    with watching(ops_url, database, tmp_path) as watch:
        database.execute("update feature_flags set kill_switch = true where name = 'watched'")
        assert line(watch).split()[1:] == ["watched", "killed"]
        with database.transaction(force_rollback=True):
            database.execute("update feature_flags set kill_switch = false where name = 'watched'")
        database.execute("update feature_flags set kill_switch = false, rollout_percentage = 5 where name = 'watched'")
        assert line(watch).split()[1:] == ["watched", "partial"]
        database.execute("delete from feature_flags where name = 'watched'")
        assert line(watch).split()[1:] == ["watched", "deleted"]
        watch.send_signal(signal.SIGINT)
        assert watch.wait(20) in {0, 130}


def test_as_json_each_change_is_one_line_too(ops_url: str, database: psycopg.Connection, tmp_path: Path) -> None:
    create(database, "watched.json", enabled=False)
    with watching(ops_url, database, tmp_path, "--json") as watch:
        row = database.execute(
            "update feature_flags set enabled = true where name = 'watched.json' returning revision"
        ).fetchone()
        assert row is not None
        assert json.loads(line(watch)) == {"revision": row[0], "name": "watched.json", "state": "on"}


@contextmanager
def watching(url: str, database: psycopg.Connection, home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command, from when it follows the flags."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    watch = subprocess.Popen(
        [sys.executable, "-m", "opsbook", "flags", "watch", *options],
        env={**os.environ, "OPSBOOK_DATABASE_URL": url, "OPSBOOK_HOME": str(home), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
    )
    try:
        until(lambda: checks_revisions(database), within=15)
        yield watch
    finally:
        watch.kill()
        watch.communicate()


def checks_revisions(database: psycopg.Connection) -> bool:
    """Whether somebody's kit has read the flags and now looks for newer ones."""
    return bool(
        database.execute(
            "select from pg_stat_activity where datname = current_database()"
            " and application_name = 'opsbook flags' and query like '%revision from opsbook.revisions'"
        ).fetchall()
    )


def line(watch: subprocess.Popen[str]) -> str:
    assert watch.stdout is not None
    return watch.stdout.readline()
