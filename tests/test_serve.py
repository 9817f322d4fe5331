"""`opsbook serve`: several processes on given databases, stopped by a signal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.conftest import ADMIN_TOKEN
from tests.upping import free_port, until

STARTS_WITHIN_SECONDS = 40
STOPS_WITHIN_SECONDS = 6


@pytest.fixture
def process_and_address(ops_url: str, service_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    databases = {"OPSBOOK_DATABASE_URL": ops_url, "DATABASE_URL": service_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "opsbook", "serve", "--port", str(port), "--workers", "2"],
        env={
            **os.environ,
            **databases,
            "OPSBOOK_HOME": "/nonexistent",
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "PYTHONPATH": "src",
        },
        stderr=subprocess.DEVNULL,
    )
    yield process, f"http://127.0.0.1:{port}"
    # Told, not killed: killed, it could not end its processes.
    process.terminate()
    process.wait(STOPS_WITHIN_SECONDS)


def test_a_form_of_one_process_is_taken_by_the_other(
    process_and_address: tuple[subprocess.Popen[bytes], str],
) -> None:
    """Nobody has set a SECRET_KEY: the processes must agree on one all the same."""
    process, address = process_and_address
    until(lambda: is_live(process, address), STARTS_WITHIN_SECONDS)
    # A connection for each request, so that either process may get it.
    tokens = {csrf_token(httpx.get(f"{address}/ops/sign-in").text) for _ in range(12)}
    assert len(tokens) == 1
    process.send_signal(signal.SIGTERM)
    process.wait(STOPS_WITHIN_SECONDS)


def test_nobody_gives_itself_another_address(
    process_and_address: tuple[subprocess.Popen[bytes], str], database: psycopg.Connection
) -> None:
    """The audit and the limits on signing in go by the address, which any program on this machine could invent."""
    process, address = process_and_address
    until(lambda: is_live(process, address), STARTS_WITHIN_SECONDS)
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "X-Forwarded-For": "203.0.113.7"}
    httpx.post(f"{address}/api/admin/feature-flags", json={"name": "forged"}, headers=headers).raise_for_status()
    recorded = database.execute("select distinct host(ip) from security_audit where target = 'forged'").fetchall()
    assert recorded == [("127.0.0.1",)]


def csrf_token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def is_live(process: subprocess.Popen[bytes], address: str) -> bool:
    assert process.poll() is None, "it ended while starting"
    try:
        return httpx.get(f"{address}/api/livez").status_code == 200
    except httpx.TransportError:
        return False
