"""`opsbook up` from the outside: it comes up, says so, survives what is killed, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from opsbook.core.supervision.strays import still_alive
from tests.folders import open_folder
from tests.upping import Up, finished, free_port, opsbook, until, up

STUBBORN = """
import signal, time
def never(*_): pass
signal.signal(signal.SIGTERM, never)
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        time.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


OTHER_SENTRY = "http://0123456789abcdef@127.0.0.1:9/7"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        (made / ".env").write_text(f"SENTRY_DSN={OTHER_SENTRY}\n")
        yield made


@pytest.fixture
def empty() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Up]:
    """One that the tests share as long as they leave it running."""
    with up(folder) as started:
        yield started


def write_service(folder: Path, text: str) -> None:
    (folder / "backend").mkdir()
    (folder / "backend" / "main.py").write_text(text)


def all_gone(processes: list[psutil.Process]) -> bool:
    return not still_alive(processes, seconds=0)


def test_files_of_the_home(running: Up) -> None:
    facts = json.loads((running.home / "up.json").read_text())
    assert (facts["pid"], facts["url"]) == (running.process.pid, running.url)
    for name in ("admin-token", "secret-key", "sentry-dsn", "ops.url", "service.url", "passwords", "up.json"):
        assert stat.S_IMODE((running.home / name).stat().st_mode) == 0o600, name


def test_a_dsn_in_the_env_file_is_not_replaced_by_our_own(running: Up) -> None:
    assert running.child("uvicorn").environ()["SENTRY_DSN"] == OTHER_SENTRY
    assert (running.home / "sentry-dsn").read_text() != OTHER_SENTRY + "\n"


def test_admin_token_opens_the_api(running: Up) -> None:
    token = (running.home / "admin-token").read_text().strip()
    address = f"{running.url}/api/admin/feature-flags"
    assert httpx.get(address).status_code == 401
    assert httpx.get(address, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_caller_cannot_choose_the_address_in_the_audit(running: Up) -> None:
    token = (running.home / "admin-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "203.0.113.7"}
    flag = {"name": "forged-address"}
    answer = httpx.post(f"{running.url}/api/admin/feature-flags", json=flag, headers=headers)
    assert answer.status_code == 201, answer.text
    with psycopg.connect((running.home / "ops.url").read_text().strip()) as connection:
        query = "select host(ip) from security_audit where target = 'forged-address'"
        assert connection.execute(query).fetchall() == [("127.0.0.1",)]


def test_sign_in_link_is_good(running: Up) -> None:
    link = str(running.facts["sign_in"])
    assert link.startswith(f"{running.url}/ops/sign-in?link=")
    assert httpx.get(link, follow_redirects=True).status_code == 200


def test_second_up_says_where_the_first_is(running: Up) -> None:
    code, out, errors = finished(opsbook(running.folder, "up", "--port", str(free_port())))
    assert (code, out) == (3, "")
    assert f"pid {running.process.pid}" in errors
    assert running.url in errors
    assert running.is_live()


def test_url_and_psql(running: Up) -> None:
    code, out, _ = finished(opsbook(running.folder, "url", "ops"))
    assert (code, out) == (0, (running.home / "ops.url").read_text())
    query = "select current_user || ' ' || current_setting('application_name')"
    code, out, errors = finished(opsbook(running.folder, "psql", "ops", "--", "-Atc", query))
    assert (code, out, errors) == (0, "opsbook psql\n", "")
    code, out, _ = finished(
        opsbook(running.folder, "psql", "service", "--superuser", "--", "-Atc", "show is_superuser")
    )
    assert (code, out) == (0, "on\n")


@pytest.mark.parametrize("words", ["-m uvicorn", "-m opsbook worker", "postgres/ops", "postgres/service"])
def test_what_dies_is_started_again(running: Up, words: str) -> None:
    victim = running.child(words)
    victim.kill()
    until(lambda: not victim.is_running())

    def replaced() -> bool:
        try:
            return running.child(words).pid != victim.pid and running.is_live()
        except (StopIteration, psutil.Error):
            return False

    until(replaced)
    for name in ("ops", "service"):
        url = (running.home / f"{name}.url").read_text().strip()
        until(lambda url=url: accepts(url))


def accepts(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stop_leaves_nothing(empty: Path, how: signal.Signals) -> None:
    process = opsbook(empty, "up", "--port", str(port := free_port()))
    assert process.stdout
    assert process.stdout.readline() == f"opsbook is up: http://127.0.0.1:{port}\n"
    assert f"http://127.0.0.1:{port}/ops/sign-in?link=" in process.stdout.readline()
    started = Up(process, empty, {"url": f"http://127.0.0.1:{port}"})
    processes = started.processes()
    assert len(processes) > 4
    with httpx.stream("GET", f"{started.url}/ops/live", timeout=20):
        before = time.monotonic()
        code, _, _ = started.stop(how)
    assert code == 0
    assert time.monotonic() - before < 10
    assert all_gone(processes)
    assert not (started.home / "up.json").exists()


def test_after_kill_9_the_next_up_recovers(empty: Path) -> None:
    with up(empty) as first:
        processes = first.processes()
        first.kill()
        with up(empty) as second:
            assert all_gone(processes)
            assert second.is_live()


def test_children_that_missed_the_death_of_their_supervisor_are_ended(empty: Path) -> None:
    with up(empty) as first:
        processes = first.processes()
        web = first.child("-m uvicorn")
        web.suspend()
        first.kill()
        process = opsbook(empty, "up", "--json", "--port", str(httpx.URL(first.url).port))
        assert process.stdout
        assert json.loads(process.stdout.readline())["url"] == first.url
        assert all_gone(processes)
        process.terminate()
        code, _, errors = finished(process)
    assert code == 0
    assert "left over" in errors


def test_second_signal_does_not_wait(empty: Path) -> None:
    write_service(empty, STUBBORN)
    with up(empty) as stubborn:
        processes = stubborn.processes()
        worker = stubborn.child("-m opsbook worker")
        stubborn.process.send_signal(signal.SIGINT)
        until(lambda: not worker.is_running())
        before = time.monotonic()
        code, _, _ = stubborn.stop(signal.SIGINT)
        assert time.monotonic() - before < 2
        assert code == 0
        until(lambda: all_gone(processes), seconds=1)


def test_interrupted_start_leaves_nothing(empty: Path) -> None:
    write_service(empty, "import time\ntime.sleep(60)")  # Else a slow test may find it started.
    process = opsbook(empty, "up", "--port", str(free_port()))
    until(lambda: (empty / ".opsbook" / "up.lock").exists())
    root = psutil.Process(process.pid)
    until(lambda: bool(root.children()))
    processes = [root, *root.children(recursive=True)]
    process.terminate()
    code, out, _ = finished(process)
    assert (code, out) == (130, "")
    assert all_gone(processes)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to warn of")
def test_root_is_told_that_the_service_runs_as_root(empty: Path) -> None:
    with up(empty) as running:
        owners = {running.child(words).username() for words in ("-m uvicorn", "-m opsbook worker")}
        code, _, errors = running.stop()
    assert (code, owners) == (0, {"root"})
    assert "the service and the worker run as root" in errors


def test_port_taken_by_another_program(empty: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, errors = finished(opsbook(empty, "up", "--port", str(port)))
    assert (code, out) == (3, "")
    assert f"127.0.0.1:{port} is taken by" in errors
    assert f"(pid {os.getpid()})" in errors
    assert "--port" in errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raise RuntimeError('no such setting')", "ended with exit code 1"),
        ("from fastapi import FastAPI\napp = FastAPI()", "add `opsbook.install(app)`"),
    ],
    ids=["broken", "without opsbook"],
)
def test_service_that_does_not_start(empty: Path, text: str, expected: str) -> None:
    write_service(empty, text)
    code, out, errors = finished(opsbook(empty, "up", "--port", str(free_port())))
    assert (code, out) == (3, "")
    assert expected in errors


def test_a_second_start_keeps_the_token_and_migrates_once_and_a_bad_migration_stops_it(empty: Path) -> None:
    migrations = empty / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "20260101000000_notes.sql").write_text("create table notes (id int);")
    tokens: set[str] = set()
    for _ in range(2):
        with up(empty):
            tokens.add((empty / ".opsbook" / "admin-token").read_text())
            with psycopg.connect((empty / ".opsbook" / "service.url").read_text().strip()) as connection:
                rows = connection.execute("select version, name from supabase_migrations.schema_migrations").fetchall()
            assert rows == [("20260101000000", "notes")]
    assert len(tokens) == 1
    (migrations / "20260101000001_bad.sql").write_text("create table other (id int); select 1/0;")
    code, out, errors = finished(opsbook(empty, "up", "--port", str(free_port())))
    assert (code, out) == (3, "")
    assert "20260101000001_bad.sql" in errors
    assert "division by zero" in errors


def test_home_that_cannot_be_made(empty: Path) -> None:
    (empty / "file").write_text("")
    code, out, errors = finished(opsbook(empty, "up", "--home", "file/home"))
    assert (code, out) == (3, "")
    assert "is not a folder" in errors
