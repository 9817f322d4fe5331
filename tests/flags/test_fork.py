"""Processes that fork after their first use of the kit: each follows by itself, and disturbs no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.conftest import ADMIN_TOKEN
from tests.flags.helpers import until
from tests.upping import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(params=["database", "server"])
def named(request: pytest.FixtureRequest, ops_url: str, server: str) -> dict[str, str]:
    """The environment that names one of the kit's two sources."""
    if request.param == "database":
        return {"OPSBOOK_DATABASE_URL": ops_url}
    return {"OPSBOOK_URL": server, "OPSBOOK_TOKEN": ADMIN_TOKEN}


@pytest.mark.parametrize(
    ("how", "processes"),
    [
        ("os.fork", {"parent", "child", "grandchild"}),
        ("short-lived", {"parent"}),
        ("threads", {"parent", "thread", "another"}),
        ("fork", {"parent", "child"}),
        ("spawn", {"parent", "child"}),
        ("forkserver", {"parent", "child"}),
    ],
)
def test_every_process_follows_by_itself(
    named: dict[str, str], database: psycopg.Connection, tmp_path: Path, how: str, processes: set[str]
) -> None:
    kill(database)
    with running([sys.executable, str(HERE / "forking.py"), how], named, tmp_path) as answers:
        obey_kills(database, lambda: told(answers), lambda seen: seen.keys() == processes)


def test_every_process_of_a_celery_worker_follows(
    named: dict[str, str], database: psycopg.Connection, tmp_path: Path
) -> None:
    kill(database)
    options = ["--pool=prefork", "--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=error"]
    command = [sys.executable, "-m", "celery", "--quiet", "--app=tests.flags.forking_celery", "worker", *options]
    with running(command, named | {"C_FORCE_ROOT": "1"}, tmp_path) as answers:
        obey_kills(database, lambda: told(answers), lambda seen: seen.keys() == {"one", "other"})


def test_every_worker_of_gunicorn_follows_that_was_forked_after_import(
    named: dict[str, str], database: psycopg.Connection, tmp_path: Path
) -> None:
    kill(database)
    address = f"127.0.0.1:{free_port()}"
    options = ["--preload", "--workers=2", f"--bind={address}", "--log-level=error", "--no-control-socket"]
    command = [sys.executable, "-m", "gunicorn", *options, "tests.flags.forking_wsgi:application"]
    with running(command, named, tmp_path), ThreadPoolExecutor(8) as pool:

        def asked() -> dict[str, str]:
            return told(list(pool.map(lambda _: answered(address), range(8))))

        obey_kills(database, asked, lambda seen: len(seen) == 2)


def obey_kills(
    database: psycopg.Connection, told: Callable[[], dict[str, str]], all_there: Callable[[dict[str, str]], bool]
) -> None:
    """Kill and revive, and see each process obey."""

    def all_say(answer: str) -> bool:
        seen = told()
        return all_there(seen) and set(seen.values()) == {answer}

    until(lambda: all_say("off"), within=20)
    for killed, answer in ((False, "on"), (True, "off"), (False, "on")):
        kill(database, killed)
        until(lambda: all_say(answer), within=5)  # noqa: B023


def kill(database: psycopg.Connection, killed: bool = True) -> None:
    database.execute(
        "insert into feature_flags (name, enabled, kill_switch) values ('forked', true, %(killed)s)"
        " on conflict (name) do update set kill_switch = %(killed)s",
        {"killed": killed},
    )


def answered(address: str) -> str:
    """What the server there says; nothing while it is not there."""
    try:
        return httpx.get(f"http://{address}", timeout=10).text
    except httpx.TransportError:
        return ""


@contextmanager
def running(command: list[str], named: dict[str, str], home: Path) -> Iterator[list[str]]:
    """A program while the context lasts, and the lines that its processes print."""
    service = subprocess.Popen(
        command,
        env={
            **os.environ,
            **named,
            "OPSBOOK_HOME": str(home),
            "PYTHONPATH": os.pathsep.join(path for path in (str(ROOT), *sys.path) if path),
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
    return dict(line.split() for line in tuple(answers) if line)
