"""The connection pool: its figures, an exhausted one, and a database that is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg

from tests.backend.conftest import serving

PROJECT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct horse battery staple"


def test_the_pool_has_the_runbooks_size_and_the_environment_overrides_it(service_url: str) -> None:
    question = "import json; from backend.database import get_pool_status; print(json.dumps(get_pool_status()))"

    def asked(**environment: str) -> dict[str, object]:
        known = {**os.environ, "DATABASE_URL": service_url, **environment}
        answer = subprocess.run(
            [sys.executable, "-c", question], cwd=PROJECT, env=known, capture_output=True, check=True
        )
        return json.loads(answer.stdout)

    status = asked()
    assert (status["pool_size"], status["max_overflow"], status["capacity"]) == (20, 30, 50)
    assert (status["checked_out"], status["exhausted"]) == (0, False)
    status = asked(DATABASE_POOL_SIZE="3", DATABASE_MAX_OVERFLOW="1")
    assert (status["pool_size"], status["max_overflow"]) == (3, 1)


def test_an_exhausted_pool_answers_503_and_recovers(
    start_service: Callable[..., httpx.Client], service_url: str
) -> None:
    service = start_service(
        DATABASE_POOL_SIZE="1",
        DATABASE_MAX_OVERFLOW="0",
        DATABASE_POOL_TIMEOUT_SECONDS="0.2",
        DATABASE_STATEMENT_TIMEOUT_SECONDS="2",
    )
    body = {"email": "patient@example.org", "password": PASSWORD}
    token = service.post("/api/auth/sign-up", json=body).json()["access_token"]
    service.headers["authorization"] = f"Bearer {token}"
    with psycopg.connect(service_url) as blocker:
        blocker.execute("lock table sessions in access exclusive mode")
        with httpx.Client(base_url=service.base_url, headers=service.headers, timeout=30) as held:
            answers = _ask_at_once(held, 4)
            exhausted = [answer for answer in answers if answer.status_code == 503]
            assert len(exhausted) >= 3
            assert all(answer.headers["retry-after"] for answer in exhausted)
        blocker.rollback()
    assert service.get("/api/auth/me").status_code == 200


def test_cut_connections_are_replaced_unseen(service: httpx.Client, service_url: str) -> None:
    body = {"email": "cut@example.org", "password": PASSWORD}
    assert service.post("/api/auth/sign-up", json=body).status_code == 201
    with psycopg.connect(service_url) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'reference-service'"
            " and datname = current_database()"
        )
    assert service.post("/api/auth/sign-in", json=body).status_code == 200


def test_a_database_that_is_away_is_answered_503(start_service: Callable[..., httpx.Client]) -> None:
    service = start_service(DATABASE_URL="postgresql://postgres@127.0.0.1:1/postgres")
    answer = service.post("/api/auth/sign-in", json={"email": "a@b.c", "password": PASSWORD})
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "127.0.0.1" not in answer.text


def _ask_at_once(client: httpx.Client, times: int) -> list[httpx.Response]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(lambda _: client.get("/api/auth/me"), range(times)))


def test_a_running_service_reports_its_pool(service_url: str, ops_url: str, tmp_path: Path) -> None:
    known = {"DATABASE_URL": service_url, "OPSBOOK_DATABASE_URL": ops_url, "OPSBOOK_HOME": str(tmp_path)}
    count = "select count(*) from pool_processes where program = 'uvicorn' and pool_size = 7"
    with (
        psycopg.connect(ops_url, autocommit=True) as ops,
        serving("backend.main:app", PROJECT, {**known, "SECRET_KEY": "0" * 64, "DATABASE_POOL_SIZE": "7"}),
    ):
        _until(lambda: ops.execute(count).fetchone() == (1,))


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
