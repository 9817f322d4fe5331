"""Processes that fork after their first use of the kit: each follows by itself, and disturbs no other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.flags.helpers import set_enabled, until

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("how", "processes"),
    [
        ("os.fork", {"parent", "child", "grandchild"}),
        ("short-lived", {"parent"}),
        ("fork", {"parent", "child"}),
        ("spawn", {"parent", "child"}),
        ("forkserver", {"parent", "child"}),
    ],
)
def test_every_process_follows_by_itself(
    ops_url: str, database: psycopg.Connection, tmp_path: Path, how: str, processes: set[str]
) -> None:
    database.execute("insert into feature_flags (name) values ('forked') on conflict do nothing")
    set_enabled(database, "forked", False)
    with running(how, ops_url, tmp_path) as answers:
        until(lambda: told(answers) == dict.fromkeys(processes, "off"), within=15)
        for answer in ("on", "off", "on"):
            set_enabled(database, "forked", answer == "on")
            until(lambda: told(answers) == dict.fromkeys(processes, answer), within=2)  # noqa: B023


@contextmanager
def running(how: str, url: str, home: Path) -> Iterator[list[str]]:
    service = subprocess.Popen(
        [sys.executable, HERE / "forking.py", how],
        env={
            **os.environ,
            "OPSBOOK_DATABASE_URL": url,
            "OPSBOOK_HOME": str(home),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=home,
    )
    answers: list[str] = []
    assert service.stdin is not None
    assert service.stdout is not None
    reader = threading.Thread(target=answers.extend, args=(service.stdout,), daemon=True)
    reader.start()
    try:
        yield answers
    finally:
        service.stdin.close()
        service.wait(10)
        reader.join(10)
        service.stdout.close()


def told(answers: list[str]) -> dict[str, str]:
    """The newest answer of each process."""
    return dict(line.split() for line in tuple(answers))
