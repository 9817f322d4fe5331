"""The reference service as a process of its own, on a fresh service database, spoken to over HTTP."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """Someone signed in: their client sends their token."""

    client: httpx.Client
    id: str
    email: str
    session_id: str

    def record(self, *events: dict[str, object]) -> httpx.Response:
        return self.client.post("/api/events", json={"events": events})


@pytest.fixture(scope="module")
def start_service(
    service_url: str, ops_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., httpx.Client]]:
    """Starts a process of the service with settings by environment variable; a client for it."""
    with ExitStack() as stack:

        def start(**environment: str) -> httpx.Client:
            known = {
                "DATABASE_URL": service_url,
                "OPSBOOK_DATABASE_URL": ops_url,
                "OPSBOOK_HOME": str(tmp_path_factory.mktemp("home")),
                "SECRET_KEY": secrets.token_hex(32),
            }
            roomy = {"RATE_LIMIT_PER_MINUTE": "100000", "RATE_LIMIT_PER_HOUR": "100000"}
            base = stack.enter_context(serving("backend.main:app", PROJECT, {**known, **roomy, **environment}))
            return stack.enter_context(httpx.Client(base_url=base, timeout=30))

        yield start


@pytest.fixture(scope="module")
def service(start_service: Callable[..., httpx.Client]) -> httpx.Client:
    """The service with its own settings, except for rate limits that no test meets by accident."""
    return start_service()


@pytest.fixture
def sign_up(service: httpx.Client) -> Iterator[Callable[[], Person]]:
    """Makes a new person, signed in."""
    with ExitStack() as stack:

        def make() -> Person:
            email = f"{uuid.uuid4()}@example.org"
            answer = service.post("/api/auth/sign-up", json={"email": email, "password": PASSWORD})
            assert answer.status_code == 201, answer.text
            access = answer.json()
            headers = {"authorization": f"Bearer {access['access_token']}"}
            client = stack.enter_context(httpx.Client(base_url=service.base_url, headers=headers, timeout=30))
            return Person(client, access["user"]["id"], email, access["user"]["session_id"])

        yield make


@pytest.fixture
def start_in_folder() -> Iterator[Callable[[str, Path], httpx.Client]]:
    """Starts an app by its name in a folder, with nothing in the environment; a client for it."""
    with ExitStack() as stack:

        def start(app: str, folder: Path) -> httpx.Client:
            return stack.enter_context(httpx.Client(base_url=stack.enter_context(serving(app, folder, {})), timeout=30))

        yield start


@contextmanager
def serving(app: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """A process that serves an app from a folder, for as long as the context lasts; its address."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment})
    try:
        base = f"http://127.0.0.1:{port}"
        _wait_until_answering(base, process)
        yield base
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_answering(base: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx.get(f"{base}/openapi.json").raise_for_status()
        except httpx.TransportError:
            assert process.poll() is None, "the service ended while starting"
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.05)
        else:
            return
