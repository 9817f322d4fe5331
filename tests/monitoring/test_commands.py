"""`opsbook health` as it is typed."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
import uvicorn
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from opsbook.core.bus import Bus
from opsbook.core.errors import NotConfigured, Unavailable
from opsbook.core.http.client_address import TrustedProxies
from opsbook.core.postgres.connect import make_pool
from opsbook.core.runtime import Runtime
from opsbook.core.settings import load_settings
from opsbook.monitoring.api import router
from opsbook.monitoring.commands import health
from opsbook.monitoring.service import running
from tests.monitoring.stage import ADMIN_TOKEN, Databases

command = typer.Typer()
command.command()(health)


def opsbook_health(*arguments: str, **environment: str) -> Result:
    named = {"OPSBOOK_HOME": "/nonexistent", "COLUMNS": "160", **environment}
    return CliRunner().invoke(command, arguments, env=named)


def addresses(databases: Databases) -> dict[str, str]:
    return {"DATABASE_URL": databases.urls["service"], "OPSBOOK_DATABASE_URL": databases.urls["ops"]}


def test_without_a_server_it_looks_for_itself(databases: Databases) -> None:
    shown = opsbook_health(**addresses(databases))
    assert shown.exit_code == 0, shown.output
    assert "ok" in shown.output.splitlines()[0]
    assert "PostgreSQL 18" in shown.output
    assert "not configured" in shown.output


def test_it_exits_1_when_not_well(databases: Databases) -> None:
    shown = opsbook_health("--json", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert shown.exit_code == 1
    answer = json.loads(shown.output)
    assert answer["status"] == "down"
    assert answer["database"] == "disconnected"
    assert "connection" in answer["checks"][0]["detail"]


def test_nothing_to_look_at_is_said_so() -> None:
    shown = opsbook_health()
    assert isinstance(shown.exception, NotConfigured)
    assert shown.exception.exit_code == 3


def test_a_server_that_does_not_answer_is_unreachable() -> None:
    shown = opsbook_health("--url", "http://127.0.0.1:1")
    assert isinstance(shown.exception, Unavailable)
    assert shown.exception.exit_code == 3


def test_it_asks_the_server_of_its_home_with_the_home_s_token(databases: Databases, tmp_path: Path) -> None:
    with serving(databases) as url:
        note = {"pid": os.getpid(), "url": url, "started_at": "now"}
        (tmp_path / "up.json").write_text(json.dumps(note))
        (tmp_path / "admin-token").write_text(ADMIN_TOKEN)
        shown = opsbook_health("--json", OPSBOOK_HOME=str(tmp_path))
        assert shown.exit_code == 0, shown.output
        assert "PostgreSQL 18" in shown.output
        anonymous = opsbook_health("--json", "--url", url, OPSBOOK_HOME=str(tmp_path))
        assert "PostgreSQL 18" not in anonymous.output


def test_a_home_without_a_token_gets_none_of_the_shell_s(databases: Databases, tmp_path: Path) -> None:
    with serving(databases) as url:
        (tmp_path / "up.json").write_text(json.dumps({"pid": os.getpid(), "url": url}))
        for variable in ("OPSBOOK_TOKEN", "ADMIN_TOKEN"):
            shown = opsbook_health("--json", OPSBOOK_HOME=str(tmp_path), **{variable: ADMIN_TOKEN})
            assert shown.exit_code == 0, shown.output
            assert "PostgreSQL 18" not in shown.output, variable


def test_the_note_of_a_killed_server_is_not_believed(databases: Databases, tmp_path: Path) -> None:
    note = {"pid": 2**22 + 1, "url": "http://127.0.0.1:1", "started_at": "then"}
    (tmp_path / "up.json").write_text(json.dumps(note))
    assert opsbook_health(OPSBOOK_HOME=str(tmp_path), **addresses(databases)).exit_code == 0


@contextmanager
def serving(databases: Databases) -> Iterator[str]:
    """The health routes on a port of their own."""
    settings = load_settings(None, **databases.settings, home=Path("/nonexistent"), admin_token=ADMIN_TOKEN)
    ops = databases.urls["ops"]
    runtime = Runtime(settings, (), make_pool(ops, "tests"), Bus(ops), b"key")
    runtime.put(TrustedProxies.parse(""))
    app = FastAPI(lifespan=lambda _: running(runtime))
    app.include_router(router)
    app.state.opsbook = runtime
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + 5
        while not server.started:
            assert time.monotonic() < deadline
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(5)


@pytest.mark.parametrize("option", ["--url", "--json", "--watch"])
def test_its_help_has_an_example_and_every_option(option: str) -> None:
    shown = opsbook_health("--help", TERM="dumb")
    assert option in shown.output
    assert "opsbook health --url" in shown.output
