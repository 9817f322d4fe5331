"""Processes that fork after their first use of the kit: each follows by itself, and disturbs no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ADMIN_TOKEN
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
@pytest.mark.parametrize("source", ["database", "server"])
def test_every_process_follows_by_itself(
    ops_url: str, server: str, database: psycopg.Connection, tmp_path: Path, how: str, processes: set[str], source: str
) -> None:
    database.execute("insert into feature_flags (name) values ('forked') on conflict do nothing")
    set_enabled(database, "forked", False)
    named = {
        "database": {"OPSBOOK_DATABASE_URL": ops_url},
        "server": {"OPSBOOK_URL": server, "OPSBOOK_TOKEN": ADMIN_TOKEN},
    }[source]
    with running(how, named, tmp_path) as answers:
        until(lambda: told(answers) == dict.fromkeys(processes, "off"), within=15)
        for answer in ("on", "off", "on"):
            set_enabled(database, "forked", answer == "on")
            until(lambda: told(answers) == dict.fromkeys(processes, answer), within=2)  # noqa: B023


@contextmanager
def running(how: str, named: dict[str, str], home: Path) -> Iterator[list[str]]:
    service = subprocess.Popen(
        [sys.executable, HERE / "forking.py", how],
        env={
            **os.environ,
            **named,
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
        with suppress(ProcessLookupError):
            os.killpg(service.pid, signal.SIGKILL)
        service.wait(10)
        reader.join(10)
        service.stdout.close()


def told(answers: list[str]) -> dict[str, str]:
    """The newest answer of each process."""
    return dict(line.split() for line in tuple(answers))
